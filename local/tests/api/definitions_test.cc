// Definitions that are refused, values that are refused in custom and built-in kinds, and ratcheting.
#include <gmock/gmock.h>

#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kCrds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

// The message of a definition whose spec has `yaml` for its properties.
std::string refusal(Api& api, const std::string& yaml) {
  Json crd = thing_crd();
  crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = *parse_yaml(yaml);
  return api.json("POST", kCrds, crd).value("message", "accepted");
}

TEST(Definitions, SchemasMustBeStructural) {
  Api api;
  const std::string at = "spec.validation.openAPIV3Schema.properties[spec]";
  const auto says = [&](const std::string& yaml, const std::string& what) {
    const std::string message = refusal(api, yaml);
    EXPECT_NE(message.find(at + what), std::string::npos) << yaml << ": " << message;
  };
  says("{type: object, properties: {a: {}}}",
       ".properties[a].type: Required value: must not be empty for specified object fields");
  says("{type: array}", ".items: Required value: must be specified");
  says("{type: object, anyOf: [{properties: {b: {minimum: 1}}}]}",
       ".properties[b]: Required value: because it is defined in " + at + ".anyOf[0].properties[b]");
  says("{type: object, oneOf: [{type: object}]}",
       ".oneOf[0].type: Forbidden: must be empty to be structural");
  says("{type: text}", ".type: Unsupported value: \"text\"");
  says("{type: object, properties: {a: {type: string, default: 5}}}",
       ".properties[a].default: Invalid value");
  says(
      "{type: array, x-kubernetes-list-type: map, items: {type: object, properties: {k: {type: string}}}, "
      "x-kubernetes-list-map-keys: [k]}",
      ".items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys");
  says("{type: array, items: {type: string, x-kubernetes-validations: [{rule: self == oldSelf}]}}",
       ".items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used "
       "on the "
       "uncorrelatable portion of the schema within " +
           at);
}

TEST(Definitions, AChoiceBetweenSchemasIsJudgedAsAWhole) {
  Api api;
  Json crd = thing_crd();
  Json& spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
  spec = *parse_yaml(
      "{type: object, properties: {a: {type: string}, b: {type: string}}, oneOf: [{required: [a]}, "
      "{required: [b]}]}");
  ASSERT_EQ(api.call("POST", kCrds, crd).status, 201);
  EXPECT_EQ(api.call("POST", kThings, thing("one", {{"a", "x"}})).status, 201);
  const Json both = api.json("POST", kThings, thing("both", {{"a", "x"}, {"b", "x"}}));
  EXPECT_EQ(both["details"]["causes"][0]["message"],
            "Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid "
            "alternatives");
}

TEST(Definitions, WhatWasWrongBeforeADefinitionBecameStricterOnlyWarns) {
  Api api;
  install_things(api);
  ASSERT_EQ(api.call("POST", kThings, thing("a", {{"owner", "ann"}, {"size", 50}})).status, 201);
  Json crd = api.json("GET", std::string(kCrds) + "/things.example.dev");
  Json& spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
  spec["properties"]["size"]["maximum"] = 20;
  spec["properties"]["more"] = Json{{"type", "string"}, {"default", "new"}};
  ASSERT_EQ(api.call("PUT", std::string(kCrds) + "/things.example.dev", crd).status, 200);
  EXPECT_EQ(api.json("GET", std::string(kThings) + "/a")["spec"]["more"], "new")
      << "stored before, read with it";
  EXPECT_EQ(api.merge(std::string(kThings) + "/a", {{"spec", {{"mode", "x"}}}})["spec"]["size"], 50);
  EXPECT_EQ(api.merge(std::string(kThings) + "/a", {{"spec", {{"size", 51}}}})["code"], 422);
}

TEST(Definitions, AValueThatASetHasThriceIsToldOnce) {
  Api api;
  Json crd = thing_crd();
  Json& schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
  schema["properties"]["spec"]["properties"]["twice"] =
      Json{{"type", "array"}, {"items", {{"type", "string"}}}, {"x-kubernetes-list-type", "set"}};
  ASSERT_EQ(api.call("POST", kCrds, crd).status, 201);
  const Json refused =
      Json::parse(api.call("POST", kThings, thing("a", {{"owner", "ann"}, {"twice", {"x", "x", "x"}}})).body);
  EXPECT_THAT(refused.value("message", ""),
              AllOf(HasSubstr("spec.twice[1]: Duplicate value"), Not(HasSubstr("spec.twice[2]"))));
}

// As an API server of 1.36 on amd64 does.
TEST(Definitions, WholeNumbersAreComparedWithTheWholePartOfABound) {
  Api api;
  Json crd = thing_crd();
  Json& spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
  spec["properties"]["share"] = Json{{"type", "number"}, {"minimum", 0.5}, {"maximum", 1e30}};
  ASSERT_EQ(api.call("POST", kCrds, crd).status, 201);
  const auto code = [&](const char* name, const Json& share) {
    return api.call("POST", kThings, thing(name, {{"owner", "ann"}, {"share", share}})).status;
  };
  EXPECT_EQ(code("a", 0.4), 422);
  EXPECT_EQ(code("b", 0.6), 201);
  EXPECT_EQ(code("c", 1), 422) << "1e30 as an int64 is its smallest";
  Json& share =
      crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["share"];
  share["default"] = 1;
  crd["metadata"]["name"] = "others.example.dev";
  crd["spec"]["names"] = {
      {"plural", "others"}, {"singular", "other"}, {"kind", "Other"}, {"listKind", "OtherList"}};
  EXPECT_EQ(api.call("POST", kCrds, crd).status, 422) << "the default is refused";
  share = {{"type", "number"}, {"minimum", 0.5}};
  ASSERT_EQ(api.call("POST", kCrds, crd).status, 201);
  EXPECT_EQ(api.call("POST", "/apis/example.dev/v1/namespaces/default/others",
                     Json{{"apiVersion", "example.dev/v1"},
                          {"kind", "Other"},
                          {"metadata", {{"name", "d"}}},
                          {"spec", {{"owner", "ann"}, {"share", 0}}}})
                .status,
            201);
}

TEST(BuiltinKinds, WrongValuesAreNamedAsByKubernetes) {
  Api api;
  const auto message = [&](const std::string& path, const std::string& yaml) {
    return api.json("POST", path, *parse_yaml(yaml)).value("message", "accepted");
  };
  EXPECT_EQ(message("/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
                    "{metadata: {name: r}, rules: [{verbs: [], apiGroups: [''], resources: [pods]}]}"),
            "Role.rbac.authorization.k8s.io \"r\" is invalid: rules[0].verbs: Required value: verbs must "
            "contain at "
            "least one value");
  EXPECT_EQ(message("/apis/batch/v1/namespaces/default/jobs",
                    "{metadata: {name: j}, spec: {template: {spec: {containers: [{name: c, image: i}]}}}}"),
            "Job.batch \"j\" is invalid: spec.template.spec.restartPolicy: Required value: valid values: "
            "\"OnFailure\", \"Never\"");
  EXPECT_EQ(
      message(
          "/apis/apps/v1/namespaces/default/deployments",
          "{metadata: {name: d}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: "
          "c}}, spec: {containers: [{name: c, image: i}]}}}}"),
      "Deployment.apps \"d\" is invalid: spec.template.metadata.labels: Invalid value: "
      "map[string]string{\"a\":\"c\"}: `selector` does not match template `labels`");
}

// Fields of protobuf's wire format.
std::string field(int number, const std::string& bytes) {
  return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(bytes.size()) + bytes;
}
std::string field(int number, int value) {
  return std::string(1, static_cast<char>(number << 3)) + static_cast<char>(value);
}

TEST(Protobuf, ADeploymentAsKubectlCreatesIt) {
  Api api;
  const std::string labels = field(1, std::string("app")) + field(2, std::string("web"));
  const std::string container = field(1, std::string("c")) + field(2, std::string("img"));
  const std::string pod = field(1, field(11, labels)) + field(2, field(2, container));
  const std::string spec = field(1, 2) + field(2, field(1, labels)) + field(3, pod);
  const std::string object = field(1, field(1, std::string("web"))) + field(2, spec);
  const std::string type = field(1, std::string("apps/v1")) + field(2, std::string("Deployment"));
  const std::string body = std::string("k8s\0", 4) + field(1, type) + field(2, object);
  const Json made = Json::parse(api.call("POST", "/apis/apps/v1/namespaces/default/deployments", Json(body),
                                         "application/vnd.kubernetes.protobuf")
                                    .body);
  EXPECT_EQ(made["metadata"]["name"], "web") << made.dump();
  EXPECT_EQ(made["spec"]["replicas"], 2);
  EXPECT_EQ(made["spec"]["template"]["spec"]["containers"][0]["image"], "img");
}

TEST(Hostile, DeepBodiesAndEndlessCopiesAreRefused) {
  Api api;
  (void)api.json("POST", "/api/v1/namespaces/default/configmaps", config_map("p"));
  const std::string path = "/api/v1/namespaces/default/configmaps/p";
  std::string deep;
  for (int i = 0; i < 60000; ++i) deep += "{\"a\":";
  deep += "1" + std::string(60000, '}');
  for (const char* type : {"application/merge-patch+json", "application/strategic-merge-patch+json",
                           "application/apply-patch+yaml", "application/json-patch+json"})
    EXPECT_EQ(api.call("PATCH", path + "?fieldManager=m", Json(deep), type).status, 400) << type;
  Json copies = Json::array();
  for (int i = 0; i < 64; ++i)
    copies.push_back({{"op", "copy"}, {"from", ""}, {"path", "/x" + std::to_string(i)}});
  EXPECT_EQ(api.call("PATCH", path, copies, "application/json-patch+json").status, 413);
}

}  // namespace
}  // namespace muster::local
