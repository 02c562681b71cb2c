// local/tests/runtime/container_env_test.cc: environment, references, mounts, quantities, images
#include "local/runtime/container_env.h"

#include <gtest/gtest.h>

#include <map>

#include "local/runtime/images.h"
#include "local/runtime/mounts.h"
#include "local/runtime/quantity.h"
#include "local/tests/runtime/builders.h"

namespace muster::local {
namespace {

Result<Json> read_object(std::string_view resource, std::string_view name) {
  if (name == "conf") return Json{{"data", {{"MODE", "fast"}, {"LEVEL", "3"}}}};
  if (name == "key") return Json{{"data", {{"TOKEN", "YWJj"}}}};
  return not_found(std::string(resource) + " not here");
}

Result<Variables> variables_of(const Json& container, std::vector<Json> services = {}) {
  Json pod = PodBuilder("env");
  pod["metadata"]["labels"] = {{"app", "env"}};
  pod["status"] = {{"podIP", "127.1.2.3"}, {"hostIP", "127.0.0.1"}};
  return container_variables(
      {.pod = pod, .container = container, .services = std::move(services), .read = read_object});
}

Json from(const std::string& kind, Json reference) { return {{kind, std::move(reference)}}; }

TEST(ContainerEnv, FollowsKubernetesInOrderAndExpansion) {
  const Json container{
      {"resources", {{"limits", {{"cpu", "500m"}, {"memory", "64Mi"}}}}},
      {"env",
       {{{"name", "PLAIN"}, {"value", "plain"}},
        {{"name", "EMPTY"}},
        {{"name", "REF"}, {"value", "ref to $(PLAIN), $$(PLAIN), $(LATER)"}},
        {{"name", "NAME"}, {"valueFrom", from("fieldRef", {{"fieldPath", "metadata.name"}})}},
        {{"name", "LABEL"}, {"valueFrom", from("fieldRef", {{"fieldPath", "metadata.labels['app']"}})}},
        {{"name", "IP"}, {"valueFrom", from("fieldRef", {{"fieldPath", "status.podIP"}})}},
        {{"name", "CPU"}, {"valueFrom", from("resourceFieldRef", {{"resource", "limits.cpu"}})}},
        {{"name", "MEM"},
         {"valueFrom", from("resourceFieldRef", {{"resource", "limits.memory"}, {"divisor", "1Mi"}})}},
        {{"name", "MODE"}, {"valueFrom", from("configMapKeyRef", {{"name", "conf"}, {"key", "MODE"}})}},
        {{"name", "TOKEN"}, {"valueFrom", from("secretKeyRef", {{"name", "key"}, {"key", "TOKEN"}})}},
        {{"name", "NONE"},
         {"valueFrom", from("configMapKeyRef", {{"name", "none"}, {"key", "x"}, {"optional", true}})}},
        {{"name", "FROM_LEVEL"}, {"value", "mine"}},
        {{"name", "LATER"}, {"value", "late"}}}},
      {"envFrom", {{{"prefix", "FROM_"}, {"configMapRef", {{"name", "conf"}}}}}}};
  const auto variables = variables_of(container);
  ASSERT_TRUE(variables) << variables.error().message;
  const Variables expected{{"FROM_LEVEL", "mine"},
                           {"FROM_MODE", "fast"},
                           {"PLAIN", "plain"},
                           {"EMPTY", ""},
                           {"REF", "ref to plain, $(PLAIN), $(LATER)"},
                           {"NAME", "env"},
                           {"LABEL", "env"},
                           {"IP", "127.1.2.3"},
                           {"CPU", "1"},
                           {"MEM", "64"},
                           {"MODE", "fast"},
                           {"TOKEN", "abc"},
                           {"LATER", "late"}};
  EXPECT_EQ(*variables, expected);
}

TEST(ContainerEnv, NamesWhatIsMissing) {
  const auto missing = variables_of(
      {{"env",
        {{{"name", "A"}, {"valueFrom", from("configMapKeyRef", {{"name", "later"}, {"key", "a"}})}}}}});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "configmap \"later\" not found");
  const auto key = variables_of(
      {{"env", {{{"name", "A"}, {"valueFrom", from("secretKeyRef", {{"name", "key"}, {"key", "no"}})}}}}});
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().message, "couldn't find key no in Secret test/key");
}

TEST(ContainerEnv, AddsServiceVariables) {
  const Json service{
      {"metadata", {{"name", "my-svc"}}},
      {"spec",
       {{"clusterIP", "10.0.0.1"}, {"ports", {{{"name", "web"}, {"port", 80}, {"protocol", "TCP"}}}}}}};
  const Json headless{{"metadata", {{"name", "none"}}},
                      {"spec", {{"clusterIP", "None"}, {"ports", {{{"port", 80}}}}}}};
  const auto variables = variables_of(Json::object(), {service, headless});
  ASSERT_TRUE(variables);
  const Variables expected{
      {"MY_SVC_SERVICE_HOST", "10.0.0.1"},         {"MY_SVC_SERVICE_PORT", "80"},
      {"MY_SVC_SERVICE_PORT_WEB", "80"},           {"MY_SVC_PORT", "tcp://10.0.0.1:80"},
      {"MY_SVC_PORT_80_TCP", "tcp://10.0.0.1:80"}, {"MY_SVC_PORT_80_TCP_PROTO", "tcp"},
      {"MY_SVC_PORT_80_TCP_PORT", "80"},           {"MY_SVC_PORT_80_TCP_ADDR", "10.0.0.1"}};
  EXPECT_EQ(*variables, expected);
}

TEST(ContainerEnv, TellsWhereTheApiServerIsWhateverThePodSays) {
  Json pod = PodBuilder("p");
  pod["spec"]["enableServiceLinks"] = false;
  const auto variables = container_variables({.pod = pod,
                                              .container = Json::object(),
                                              .services = {},
                                              .api_host = "127.0.0.1",
                                              .api_port = 6443,
                                              .read = read_object});
  ASSERT_TRUE(variables);
  const Variables first(variables->begin(), variables->begin() + 3);
  EXPECT_EQ(first, (Variables{{"KUBERNETES_SERVICE_HOST", "127.0.0.1"},
                              {"KUBERNETES_SERVICE_PORT", "6443"},
                              {"KUBERNETES_SERVICE_PORT_HTTPS", "6443"}}));
}

TEST(ContainerEnv, ExpandsReferencesAsKubernetesDoes) {
  const Variables variables{{"A", "1"}};
  for (const auto& [in, out] : std::map<std::string, std::string>{{"$(A)", "1"},
                                                                  {"$$(A)", "$(A)"},
                                                                  {"$(B)", "$(B)"},
                                                                  {"$A", "$A"},
                                                                  {"$", "$"},
                                                                  {"$(A", "$(A"},
                                                                  {"$$$$", "$$"},
                                                                  {"x$(A)y$(A)", "x1y1"}}) {
    EXPECT_EQ(expand_references(in, variables), out) << in;
  }
}

TEST(Mounts, AreRewrittenWhereAPathStands) {
  const std::vector<Mount> mounts{{.at = "/data/deep", .folder = "/r/deep"},
                                  {.at = "/data", .folder = "/r/data"}};
  for (const auto& [in, out] :
       std::map<std::string, std::string>{{"/data", "/r/data"},
                                          {"/data/x", "/r/data/x"},
                                          {"/data/deep/x", "/r/deep/x"},
                                          {"--in=/data", "--in=/r/data"},
                                          {"cat /data/x > /data;", "cat /r/data/x > /r/data;"},
                                          {"/database", "/database"},
                                          {"/my/data", "/my/data"},
                                          {"http://host/data", "http://host/data"},
                                          {"https://data/x", "https://data/x"},
                                          {"file:///data", "file:///r/data"},
                                          {"--in=file:///data/x?a=1", "--in=file:///r/data/x?a=1"},
                                          {"FILE://localhost/data/x", "FILE://localhost/r/data/x"},
                                          {"file:/data/x", "file:/r/data/x"},
                                          {"git+file:///data/deep", "git+file:///r/deep"},
                                          {"unix:///data/s", "unix:///r/data/s"},
                                          {"sqlite:////data/x.db", "sqlite:////r/data/x.db"},
                                          {"sqlite:///data/x.db", "sqlite:///data/x.db"},
                                          {"hdfs:///data/x", "hdfs:///data/x"},
                                          {"file://data/x", "file://data/x"},
                                          {"profile:///data/x", "profile:///data/x"},
                                          {"//data//x", "//r/data//x"},
                                          {"-o/data/x -C /data", "-o/r/data/x -C /r/data"},
                                          {"a-o/data", "a-o/data"},
                                          {"@/data/args", "@/r/data/args"},
                                          {"[/data,/data/deep]", "[/r/data,/r/deep]"},
                                          {"{\"a\":\"/data/x\"}", "{\"a\":\"/r/data/x\"}"},
                                          {"open(r'/data/x')", "open(r'/r/data/x')"},
                                          {"\"$HOME\"/data", "\"$HOME\"/data"},
                                          {"$(pwd)/data ${X}/data", "$(pwd)/data ${X}/data"},
                                          {"~/data */data", "~/data */data"},
                                          {"/data\xc3\xbc", "/data\xc3\xbc"},
                                          {"/data-2", "/data-2"},
                                          {"'/data'", "'/r/data'"},
                                          {"a:/data:/data/deep", "a:/r/data:/r/deep"},
                                          {"", ""}}) {
    EXPECT_EQ(rewrite_paths(in, mounts), out) << in;
  }
}

TEST(Mounts, StayInsideTheirVolume) {
  const std::map<std::string, std::filesystem::path> volumes{{"v", "/r/v"}};
  const auto mount = [&](const Json& extra) {
    Json one{{"name", "v"}, {"mountPath", "/data/"}};
    one.update(extra);
    return container_mounts({{"name", "main"}, {"volumeMounts", Json::array({one})}}, volumes, {{"X", ".."}});
  };
  EXPECT_EQ(mount({{"subPath", "a/b"}})->front().folder, "/r/v");
  EXPECT_EQ(mount({{"subPath", "a/b"}})->front().sub, "a/b");
  EXPECT_EQ(mount({{"mountPath", "/a/../../data/."}})->front().at, "/data");
  EXPECT_EQ(mount(Json::object())->front().at, "/data");
  for (const char* bad : {"..", "a/../../b", "/etc"}) EXPECT_FALSE(mount({{"subPath", bad}})) << bad;
  EXPECT_FALSE(mount({{"subPathExpr", "$(X)/etc"}}));
  EXPECT_FALSE(mount({{"name", "other"}}));
}

TEST(Quantity, ReadsWhatKubernetesWrites) {
  for (const auto& [in, out] : std::map<std::string, std::int64_t>{{"500m", 500},
                                                                   {"2", 2000},
                                                                   {"0.1", 100},
                                                                   {"1e3", 1'000'000},
                                                                   {"64Mi", 67'108'864'000},
                                                                   {"1k", 1'000'000},
                                                                   {"1n", 1},
                                                                   {"0", 0}}) {
    EXPECT_EQ(parse_quantity_milli(in).value_or(-1), out) << in;
  }
  for (const char* bad : {"", "x", "1x", "Mi", "1 Mi", "nan", "inf"})
    EXPECT_FALSE(parse_quantity_milli(bad)) << bad;
}

TEST(Quantity, AddsUpAPod) {
  const auto asks = [](const char* cpu) { return Json{{"resources", {{"requests", {{"cpu", cpu}}}}}}; };
  Json pod = PodBuilder("p");
  pod["spec"]["containers"] = {asks("1"), asks("500m")};
  EXPECT_EQ(pod_request_milli(pod, "cpu"), 1500);
  pod["spec"]["initContainers"] = {asks("4")};
  EXPECT_EQ(pod_request_milli(pod, "cpu"), 4000);
  EXPECT_EQ(qos_class(pod), "Burstable");
}

TEST(Images, AreMustersProgramsOrNeedACommand) {
  EXPECT_EQ(muster_program("muster-worker"), "muster-worker");
  EXPECT_EQ(muster_program("registry.example:5000/team/muster-aggregator:v1@sha256:00"), "muster-aggregator");
  EXPECT_EQ(muster_program("muster-workers:1"), "");
  const auto none = container_command({{"name", "main"}, {"image", "nginx"}}, "/nowhere");
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("container \"main\""), std::string::npos);
  const auto unbuilt = container_command({{"name", "worker"}, {"image", "muster-worker:dev"}}, "/nowhere");
  ASSERT_FALSE(unbuilt);
  EXPECT_NE(unbuilt.error().message.find("/nowhere/muster-worker"), std::string::npos);
  EXPECT_NE(unbuilt.error().message.find("./dev build"), std::string::npos);
}

}  // namespace
}  // namespace muster::local
