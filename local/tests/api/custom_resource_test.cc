// Custom resources: defaults, pruning, validation, rules, subresources, apply.
#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

TEST(CustomResource, DefaultsAreFilledInAndUnknownFieldsPruned) {
  Api api;
  install_things(api);
  const Json made = api.json(
      "POST", kThings, thing("a", {{"owner", "ann"}, {"sise", 3}, {"free", {{"any", {{"thing", 1}}}}}}));
  EXPECT_EQ(made["spec"],
            (Json{{"owner", "ann"}, {"size", 10}, {"replicas", 1}, {"free", {{"any", {{"thing", 1}}}}}}));
  EXPECT_EQ(made["metadata"]["generation"], 1);
}

TEST(CustomResource, StrictValidationNamesTheUnknownField) {
  Api api;
  install_things(api);
  const Json refused = api.json("POST", std::string(kThings) + "?fieldValidation=Strict",
                                thing("a", {{"owner", "ann"}, {"sise", 3}}));
  EXPECT_EQ(refused["message"],
            "Thing in version \"v1\" cannot be handled as a Thing: strict decoding error: unknown field "
            "\"spec.sise\"");
}

TEST(CustomResource, SchemaErrorsCarryTheirCauses) {
  Api api;
  install_things(api);
  const Json refused = api.json("POST", kThings, thing("a", {{"owner", "a"}, {"size", 101}}));
  EXPECT_EQ(refused["code"], 422);
  ASSERT_EQ(refused["details"]["causes"].size(), 2U);
  EXPECT_EQ(refused["details"]["causes"][1]["message"],
            "Invalid value: 101: spec.size in body should be less than or equal to 100");
}

TEST(CustomResource, RulesJudgeAcrossFieldsAndAgainstThePast) {
  Api api;
  install_things(api);
  const Json heavy =
      api.json("POST", kThings,
               thing("a", {{"owner", "ann"}, {"parts", Json::array({{{"name", "w"}, {"weight", 11}}})}}));
  EXPECT_EQ(heavy["details"]["causes"][0], (Json{{"reason", "FieldValueForbidden"},
                                                 {"field", "spec.parts"},
                                                 {"message", "Forbidden: too heavy"}}));
  ASSERT_EQ(api.call("POST", kThings, thing("b", {{"owner", "ann"}, {"mode", "fast"}})).status, 201);
  EXPECT_EQ(api.merge(std::string(kThings) + "/b",
                      {{"spec", {{"mode", "slow"}}}})["details"]["causes"][0]["message"],
            "Invalid value: \"string\": mode is immutable");
}

TEST(CustomResource, StatusAndSpecDoNotTouchEachOther) {
  Api api;
  install_things(api);
  (void)api.json("POST", kThings, thing("a", {{"owner", "ann"}}));
  const Json after = api.merge(std::string(kThings) + "/a/status",
                               {{"status", {{"phase", "Up"}}}, {"spec", {{"size", 50}}}});
  EXPECT_EQ(after["status"]["phase"], "Up");
  EXPECT_EQ(after["spec"]["size"], 10);
  EXPECT_EQ(after["metadata"]["generation"], 1);
  const Json spec =
      api.merge(std::string(kThings) + "/a", {{"status", {{"phase", "Down"}}}, {"spec", {{"size", 50}}}});
  EXPECT_EQ(spec["status"]["phase"], "Up");
  EXPECT_EQ(spec["metadata"]["generation"], 2);
}

TEST(CustomResource, ScaleReadsAndWritesReplicas) {
  Api api;
  install_things(api);
  (void)api.json("POST", kThings, thing("a", {{"owner", "ann"}}));
  EXPECT_EQ(api.merge(std::string(kThings) + "/a/scale", {{"spec", {{"replicas", 3}}}})["spec"]["replicas"],
            3);
  EXPECT_EQ(api.json("GET", std::string(kThings) + "/a")["spec"]["replicas"], 3);
}

TEST(CustomResource, TablesShowPrinterColumns) {
  Api api;
  install_things(api);
  (void)api.json("POST", kThings, thing("a", {{"owner", "ann"}}));
  const Json table =
      Json::parse(api.call("GET", kThings, nullptr, "", "application/json;as=Table;v=v1;g=meta.k8s.io").body);
  EXPECT_EQ(table["kind"], "Table");
  EXPECT_EQ(table["rows"][0]["cells"], (Json::array({"a", 10, nullptr})));
}

TEST(CustomResource, AnApplyOwnsItsFieldsAndConflictsWithOtherOwners) {
  Api api;
  install_things(api);
  const std::string path = std::string(kThings) + "/a";
  (void)api.apply(path, "one", thing("a", {{"owner", "ann"}, {"size", 20}}));
  const Json conflict = api.apply(path, "two", thing("a", {{"size", 30}}));
  EXPECT_EQ(conflict["message"], "Apply failed with 1 conflict: conflict with \"one\": .spec.size");
  EXPECT_EQ(api.apply(path, "two", thing("a", {{"size", 30}}), true)["spec"]["size"], 30);
  const Json less = api.apply(path, "two", thing("a", Json::object()));
  EXPECT_EQ(less["spec"]["size"], 10) << "what its owner gave up has its default again";
}

TEST(CustomResource, AFunctionOutsideTheSubsetIsRefusedByName) {
  Api api;
  Json crd = thing_crd();
  crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
      Json::array({{{"rule", "self.owner.frobnicate()"}}});
  const Json refused = api.json("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd);
  EXPECT_EQ(refused["code"], 422);
  EXPECT_NE(refused["message"].get<std::string>().find("frobnicate()"), std::string::npos);
}

}  // namespace
}  // namespace muster::local
