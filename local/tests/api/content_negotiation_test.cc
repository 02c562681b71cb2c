// What the Accept header and the query say of the form of an answer.
#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";
constexpr const char* kMap = "/api/v1/namespaces/default/configmaps/kube-root-ca.crt";

TEST(Accept, TheFirstTypeThatCanBeServedIsServed) {
  Api api;
  const std::pair<const char*, const char*> cases[] = {
      {"", "ConfigMapList"},
      {"*/*", "ConfigMapList"},
      {"text/html, application/json", "ConfigMapList"},
      {"application/vnd.kubernetes.protobuf,application/json", "ConfigMapList"},
      {"application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "Table"},
      {"application/json;as=Table;v=v2;g=meta.k8s.io,application/json", "ConfigMapList"},
      {"application/json;as=Table;v=v1,application/json", "ConfigMapList"},
      {"application/json;q=0.5,application/json;as=Table;v=v1;g=meta.k8s.io", "Table"},
      {"application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "PartialObjectMetadataList"},
  };
  for (const auto& [accept, kind] : cases) EXPECT_EQ(api.get(kMaps, accept)["kind"], kind) << accept;
  EXPECT_EQ(api.get(kMaps, "application/json;as=Table;v=v1beta1;g=meta.k8s.io")["apiVersion"],
            "meta.k8s.io/v1beta1");
}

TEST(Accept, WhatCannotBeServedIs406) {
  Api api;
  const HttpResponse refused = api.call("GET", kMaps, nullptr, "", "text/html");
  EXPECT_EQ(refused.status, 406);
  EXPECT_EQ(refused.content_type, "text/plain; charset=utf-8");
  const HttpResponse one =
      api.call("GET", kMaps, nullptr, "", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io");
  EXPECT_EQ(one.status, 406);
  EXPECT_EQ(Json::parse(one.body)["message"],
            "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)");
}

TEST(Accept, PartialMetadataIsMetadataAlone) {
  Api api;
  const Json object = api.get(kMap, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io");
  EXPECT_EQ(object["kind"], "PartialObjectMetadata");
  EXPECT_EQ(object["metadata"]["name"], "kube-root-ca.crt");
  EXPECT_FALSE(object.contains("data"));
}

TEST(Accept, ACreateAnswersMetadataAloneAndARefusalTheStatus) {
  Api api;
  const char* const accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
  const std::string map = config_map("m", {{"a", "b"}}).dump();
  const auto post = [&] { return api.call("POST", kMaps, Json::parse(map), "", accept); };
  const HttpResponse created = post();
  EXPECT_EQ(created.status, 201);
  const Json object = Json::parse(created.body);
  EXPECT_EQ(object["kind"], "PartialObjectMetadata");
  EXPECT_FALSE(object["metadata"]["uid"].get<std::string>().empty());
  EXPECT_FALSE(object.contains("data"));
  EXPECT_EQ(api.get(std::string(kMaps) + "/m")["data"]["a"], "b");
  const HttpResponse again = post();
  EXPECT_EQ(again.status, 409);
  EXPECT_EQ(Json::parse(again.body)["reason"], "AlreadyExists");
}

TEST(Accept, YamlSaysTheSameAsJson) {
  Api api;
  (void)api.json(
      "POST", kMaps,
      config_map("y", {{"a", "yes"}, {"b", "two\nlines"}, {"c", ""}, {"d", "007"}, {"e", "x: #y"}}));
  const std::string path = std::string(kMaps) + "/y";
  const HttpResponse yaml = api.call("GET", path, nullptr, "", "application/yaml");
  EXPECT_EQ(yaml.content_type, "application/yaml");
  EXPECT_EQ(*parse_yaml(yaml.body), api.get(path));
  const HttpResponse list = api.call("GET", kMaps, nullptr, "", "application/yaml");
  EXPECT_EQ(*parse_yaml(list.body), api.get(kMaps));
  const HttpResponse missing = api.call("GET", std::string(kMaps) + "/none", nullptr, "", "application/yaml");
  EXPECT_EQ((*parse_yaml(missing.body))["reason"], "NotFound");
}

TEST(Accept, IncludeObjectDecidesWhatARowCarries) {
  Api api;
  const std::string table = "application/json;as=Table;v=v1;g=meta.k8s.io";
  EXPECT_FALSE(api.get(std::string(kMaps) + "?includeObject=None", table)["rows"][0].contains("object"));
  EXPECT_EQ(api.get(std::string(kMaps) + "?includeObject=Object", table)["rows"][0]["object"]["kind"],
            "ConfigMap");
  EXPECT_EQ(api.get(kMaps, table)["rows"][0]["object"]["kind"], "PartialObjectMetadata");
}

TEST(Health, AnswersPlainlyAndByName) {
  Api api;
  for (const char* path : {"/healthz", "/livez", "/readyz", "/livez/ping"})
    EXPECT_EQ(api.call("GET", path).body, "ok") << path;
  EXPECT_EQ(api.call("GET", "/readyz?verbose").body, "[+]ping ok\nreadyz check passed\n");
  EXPECT_EQ(api.call("GET", "/readyz/nothing").status, 404);
}

}  // namespace
}  // namespace muster::local
