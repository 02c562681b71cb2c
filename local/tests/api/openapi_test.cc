// OpenAPI and discovery: what explain, validation and the mapping of names to kinds need.
#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

const Json& schema_of(const Json& document, const std::string& id) {
  return document["components"]["schemas"].at(id);
}

TEST(OpenApi, BuiltinTypesTellTheirFieldsRequirementsAndEnums) {
  Api api;
  const Json core = api.get("/openapi/v3/api/v1");
  const Json& spec = schema_of(core, "io.k8s.api.core.v1.PodSpec");
  EXPECT_EQ(spec["required"], Json::array({"containers"}));
  EXPECT_EQ(spec["properties"]["restartPolicy"]["enum"], Json::array({"Always", "Never", "OnFailure"}));
  EXPECT_EQ(spec["properties"]["containers"]["x-kubernetes-patch-merge-key"], "name");
  const Json& claim = schema_of(core, "io.k8s.api.core.v1.PersistentVolumeClaimSpec");
  EXPECT_FALSE(claim["properties"]["accessModes"].contains("enum"));
  EXPECT_EQ(claim["properties"]["accessModes"]["items"]["enum"].size(), 4U);
}

TEST(OpenApi, TypesAreShownByTheirOwnNames) {
  Api api;
  const Json events = api.get("/openapi/v3/apis/events.k8s.io/v1");
  const Json& kind = schema_of(events, "io.k8s.api.events.v1.Event");
  const std::string reference = kind["properties"]["series"]["allOf"][0]["$ref"];
  EXPECT_EQ(reference.substr(reference.rfind('.') + 1), "EventSeries");
}

TEST(OpenApi, EveryReferenceLeadsSomewhere) {
  Api api;
  install_things(api);
  const Json index = api.get("/openapi/v3");
  for (const auto& [name, entry] : index["paths"].items()) {
    const Json document = api.get("/openapi/v3/" + name);
    const std::string text = document.dump();
    constexpr std::string_view kReference = "\"$ref\":\"#/components/schemas/";
    for (auto at = text.find(kReference); at != std::string::npos; at = text.find(kReference, at + 1)) {
      const auto start = at + kReference.size();
      const std::string id = text.substr(start, text.find('"', start) - start);
      EXPECT_TRUE(document["components"]["schemas"].contains(id)) << name << ": " << id;
    }
  }
}

TEST(OpenApi, APatchOperationOffersServerSideValidation) {
  Api api;
  install_things(api);
  const Json document = api.get("/openapi/v3/apis/example.dev/v1");
  const Json& patch = document["paths"]["/apis/example.dev/v1/namespaces/{namespace}/things/{name}"]["patch"];
  EXPECT_EQ(patch["x-kubernetes-group-version-kind"]["kind"], "Thing");
  std::set<std::string> parameters;
  for (const Json& parameter : patch["parameters"]) parameters.insert(parameter["name"]);
  EXPECT_TRUE(parameters.contains("fieldValidation"));
  EXPECT_TRUE(parameters.contains("dryRun"));
}

TEST(OpenApi, AStaleHashIsSentToTheDocumentOfNow) {
  Api api;
  install_things(api);
  const std::string path = "/openapi/v3/apis/example.dev/v1";
  const std::string now = api.get("/openapi/v3")["paths"]["apis/example.dev/v1"]["serverRelativeURL"];
  EXPECT_EQ(api.call("GET", now).status, 200);
  const HttpResponse stale = api.call("GET", path + "?hash=STALE");
  EXPECT_EQ(stale.status, 301);
  EXPECT_EQ(stale.headers.front(), (std::pair<std::string, std::string>{"Location", now}));
}

TEST(Discovery, BothFormsShowACrdOnceItIsThere) {
  Api api;
  EXPECT_EQ(api.call("GET", "/apis/example.dev/v1").status, 404);
  install_things(api);
  const Json classic = api.get("/apis/example.dev/v1");
  EXPECT_EQ(classic["resources"][0]["name"], "things");
  const HttpResponse answer =
      api.call("GET", "/apis", nullptr, "",
               "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json");
  EXPECT_EQ(answer.content_type, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
  const Json groups = Json::parse(answer.body);
  EXPECT_EQ(groups["items"].back()["metadata"]["name"], "example.dev");
  EXPECT_EQ(groups["items"].back()["versions"][0]["resources"][0]["responseKind"]["kind"], "Thing");
}

}  // namespace
}  // namespace muster::local
