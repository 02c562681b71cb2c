// The cells that kubectl prints for built-in kinds, and for the columns of a CRD.
#include "common/base/rfc3339.h"
#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

KindPtr kind_of(const std::string& resource) { return Kinds().table()->preferred(resource); }

// The cells of a row as text, by the names of their columns; ages are of an object made an hour ago.
std::map<std::string, std::string> row_of(const std::string& resource, Json object) {
  const KindPtr kind = kind_of(resource);
  const WallTime now = std::chrono::system_clock::now();
  object["metadata"]["name"] = "x";
  object["metadata"]["creationTimestamp"] = rfc3339(now - std::chrono::hours(1));
  const Json columns = table_columns(*kind);
  const Json cells = table_row(*kind, object, IncludeObject::kNone, now)["cells"];
  EXPECT_EQ(columns.size(), cells.size()) << resource;
  std::map<std::string, std::string> row;
  for (std::size_t i = 0; i < std::min(columns.size(), cells.size()); ++i)
    row[columns[i]["name"]] = cells[i].is_string() ? cells[i].get<std::string>() : cells[i].dump();
  return row;
}

Json with_template(const char* spec) {
  Json json = *parse_yaml(spec);
  json["spec"]["template"]["spec"]["containers"] =
      Json::array({{{"name", "a"}, {"image", "i1"}}, {{"name", "b"}, {"image", "i2"}}});
  return json;
}

TEST(Table, EveryBuiltinKindHasAsManyCellsAsColumns) {
  for (const KindPtr& kind : builtin_kinds()) {
    for (const char* text :
         {"{}", "{spec: 5, status: [1], data: x}", "{metadata: {labels: [], ownerReferences: [1]}}",
          "{spec: {ports: [1], rules: [{}], metrics: [7], template: {spec: {containers: [3]}}}, "
          "status: {conditions: [1], containerStatuses: [2]}, subjects: [1], endpoints: [1]}"})
      EXPECT_EQ(row_of(kind->resource(), *parse_yaml(text)).size(), table_columns(*kind).size())
          << kind->resource() << " " << text;
  }
}

TEST(Table, WorkloadsShowReadinessContainersAndSelectors) {
  const auto deployment = row_of("deployments.apps", with_template(R"(
spec: {replicas: 3, selector: {matchLabels: {b: "2", a: "1"}, matchExpressions: [{key: c, operator: In, values: ["y", x]}]}}
status: {readyReplicas: 1, updatedReplicas: 2, availableReplicas: 1})"));
  EXPECT_EQ(deployment.at("Ready"), "1/3");
  EXPECT_EQ(deployment.at("Up-to-date"), "2");
  EXPECT_EQ(deployment.at("Age"), "60m");
  EXPECT_EQ(deployment.at("Containers"), "a,b");
  EXPECT_EQ(deployment.at("Images"), "i1,i2");
  EXPECT_EQ(deployment.at("Selector"), "a=1,b=2,c in (x,y)");
}

TEST(Table, JobsTellTheirStateAndDuration) {
  const auto job = row_of("jobs.batch", with_template(R"(
spec: {completions: 3, parallelism: 2}
status: {succeeded: 3, startTime: "2024-01-01T00:00:00Z", completionTime: "2024-01-01T00:01:05Z", conditions: [{type: Complete, status: "True"}]})"));
  EXPECT_EQ(job.at("Status"), "Complete");
  EXPECT_EQ(job.at("Completions"), "3/3");
  EXPECT_EQ(job.at("Duration"), "65s");
  EXPECT_EQ(row_of("jobs.batch", *parse_yaml("{spec: {parallelism: 4}}")).at("Completions"), "0/1 of 4");
}

TEST(Table, ServicesTellWhereTheyAre) {
  const auto service = row_of("services", *parse_yaml(R"(
spec: {type: LoadBalancer, clusterIP: 10.0.0.1, externalIPs: [1.1.1.1], ports: [{port: 80, nodePort: 30000, protocol: TCP}]}
status: {loadBalancer: {ingress: [{hostname: b.example}, {ip: 2.2.2.2}]}})"));
  EXPECT_EQ(service.at("External-IP"), "2.2.2.2,b.example,1.1.1.1");
  EXPECT_EQ(service.at("Port(s)"), "80:30000/TCP");
  EXPECT_EQ(row_of("services", *parse_yaml("{spec: {type: LoadBalancer}}")).at("External-IP"), "<pending>");
  const auto endpoints = row_of("endpoints", *parse_yaml(R"(
subsets: [{addresses: [{ip: 1.1.1.1}, {ip: "::1"}], ports: [{port: 80}, {port: 81}]}])"));
  EXPECT_EQ(endpoints.at("Endpoints"), "1.1.1.1:80,[::1]:80,1.1.1.1:81 + 1 more...");
}

TEST(Table, ClaimsQuotasAndBindings) {
  const auto claim = row_of("persistentvolumeclaims", *parse_yaml(R"(
spec: {volumeName: v, storageClassName: fast}
status: {phase: Bound, accessModes: [ReadWriteMany, ReadWriteOnce]})"));
  EXPECT_EQ(claim.at("Access Modes"), "RWO,RWX");
  EXPECT_EQ(claim.at("StorageClass"), "fast");
  EXPECT_EQ(claim.at("VolumeMode"), "<unset>");
  const auto quota = row_of("resourcequotas", *parse_yaml(R"(
status: {hard: {pods: "10", limits.cpu: "4"}, used: {pods: "1"}})"));
  EXPECT_EQ(quota.at("Request"), "pods: 1/10");
  EXPECT_EQ(quota.at("Limit"), "limits.cpu: 0/4");
  const auto binding = row_of("rolebindings.rbac.authorization.k8s.io", *parse_yaml(R"(
roleRef: {kind: Role, name: r}
subjects: [{kind: User, name: u}, {kind: ServiceAccount, namespace: "n", name: s}])"));
  EXPECT_EQ(binding.at("Role"), "Role/r");
  EXPECT_EQ(binding.at("ServiceAccounts"), "n/s");
  EXPECT_EQ(binding.at("Groups"), "");
}

TEST(Table, APodIsOneWord) {
  const auto status = [](const char* text) { return row_of("pods", *parse_yaml(text)); };
  EXPECT_EQ(status("{status: {phase: Pending}}").at("Status"), "Pending");
  EXPECT_EQ(
      status("{status: {containerStatuses: [{state: {waiting: {reason: CrashLoopBackOff}}}]}}").at("Status"),
      "CrashLoopBackOff");
  EXPECT_EQ(status("{status: {containerStatuses: [{state: {terminated: {exitCode: 3}}}]}}").at("Status"),
            "ExitCode:3");
  const auto init = status(R"(
spec: {initContainers: [{name: i}, {name: s, restartPolicy: Always}], containers: [{name: c}]}
status: {initContainerStatuses: [{name: i, state: {running: {}}}]})");
  EXPECT_EQ(init.at("Status"), "Init:0/2");
  EXPECT_EQ(init.at("Ready"), "0/2");
  const auto sidecar = status(R"(
spec: {initContainers: [{name: s, restartPolicy: Always}], containers: [{name: c}], readinessGates: [{conditionType: G}]}
status:
  phase: Running
  initContainerStatuses: [{name: s, started: true, ready: true, restartCount: 1, state: {running: {}}}]
  containerStatuses: [{name: c, ready: true, restartCount: 2, state: {running: {}}}])");
  EXPECT_EQ(sidecar.at("Ready"), "2/2");
  EXPECT_EQ(sidecar.at("Status"), "Running");
  EXPECT_EQ(sidecar.at("Restarts"), "3");
  EXPECT_EQ(sidecar.at("Readiness Gates"), "0/1");
  EXPECT_EQ(status("{metadata: {deletionTimestamp: x}, status: {phase: Running}}").at("Status"),
            "Terminating");
}

TEST(Table, AColumnOfACrdShowsTheFirstValueOfItsType) {
  Api api;
  Json crd = thing_crd();
  crd["spec"]["versions"][0]["additionalPrinterColumns"] = *parse_yaml(R"(
- {name: Parts, type: string, jsonPath: '.spec.parts[*].name'}
- {name: First, type: string, jsonPath: '.spec.parts[0]'}
- {name: Missing, type: date, jsonPath: .spec.none}
- {name: Wrong, type: integer, jsonPath: .spec.owner}
)");
  ASSERT_EQ(api.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd).status, 201);
  (void)api.json("POST", kThings,
                 thing("a", {{"owner", "ann"}, {"parts", Json::array({{{"name", "w"}}, {{"name", "v"}}})}}));
  const Json table = api.get(kThings, "application/json;as=Table;v=v1;g=meta.k8s.io");
  EXPECT_EQ(table["rows"][0]["cells"],
            (Json::array({"a", "w", "{\"name\":\"w\",\"weight\":1}", nullptr, nullptr})));
}

}  // namespace
}  // namespace muster::local
