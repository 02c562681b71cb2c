// What clients see of create, read, update, patch, delete, list and watch.
#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";

TEST(HttpApi, StoresWhatIsCreatedAndGivesItIdentity) {
  Api api;
  const Json made = api.json("POST", kMaps, config_map("a", {{"k", "v"}}));
  EXPECT_EQ(made["data"]["k"], "v");
  EXPECT_FALSE(made["metadata"]["uid"].get<std::string>().empty());
  EXPECT_EQ(api.json("GET", std::string(kMaps) + "/a"), made);
  EXPECT_EQ(api.call("POST", kMaps, config_map("a")).status, 409);
}

TEST(HttpApi, RefusesAWrongTokenAndNamesTheReason) {
  Api api(HttpApi::Options{"secret", {}});
  HttpRequest request{"GET", kMaps, {}, {{"authorization", "Bearer wrong"}}, ""};
  const HttpResponse refused = api.http.handle(request);
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(Json::parse(refused.body)["reason"], "Unauthorized");
  request.headers["authorization"] = "Bearer secret";
  EXPECT_EQ(api.http.handle(request).status, 200);
}

TEST(HttpApi, AnUpdateOfAnOldVersionIsAConflict) {
  Api api;
  const Json first = api.json("POST", kMaps, config_map("a", {{"k", "1"}}));
  Json second = first;
  second["data"]["k"] = "2";
  EXPECT_EQ(api.call("PUT", std::string(kMaps) + "/a", second).status, 200);
  const HttpResponse late = api.call("PUT", std::string(kMaps) + "/a", second);
  EXPECT_EQ(late.status, 409);
  EXPECT_EQ(Json::parse(late.body)["reason"], "Conflict");
}

TEST(HttpApi, AWatchFromAListSeesEveryChangeOnceAndInOrder) {
  Api api;
  const std::string version = api.json("GET", kMaps)["metadata"]["resourceVersion"];
  const HttpResponse watch = api.call("GET", std::string(kMaps) + "?watch=true&resourceVersion=" + version);
  (void)api.json("POST", kMaps, config_map("a"));
  (void)api.merge(std::string(kMaps) + "/a", {{"data", {{"k", "v"}}}});
  (void)api.json("DELETE", std::string(kMaps) + "/a");
  const auto events = read_events(*watch.stream, 3);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0]["type"], "ADDED");
  EXPECT_EQ(events[1]["type"], "MODIFIED");
  EXPECT_EQ(events[2]["type"], "DELETED");
  EXPECT_EQ(events[2]["object"]["data"]["k"], "v");
}

TEST(HttpApi, AWatchWhoseHistoryIsGoneEndsWithExpired) {
  Api api;
  const std::string version = api.json("GET", kMaps)["metadata"]["resourceVersion"];
  (void)api.json("POST", kMaps, config_map("a"));
  api.store.compact();
  const HttpResponse watch = api.call("GET", std::string(kMaps) + "?watch=true&resourceVersion=" + version);
  const Json event = Json::parse(watch.body);
  EXPECT_EQ(event["type"], "ERROR");
  EXPECT_EQ(event["object"]["code"], 410);
}

TEST(HttpApi, ASelectorTurnsALabelChangeIntoComingAndGoing) {
  Api api;
  const HttpResponse watch = api.call("GET", std::string(kMaps) + "?watch=true&labelSelector=team%3Da");
  (void)api.json("POST", kMaps, config_map("m"));
  (void)api.merge(std::string(kMaps) + "/m", {{"metadata", {{"labels", {{"team", "a"}}}}}});
  (void)api.merge(std::string(kMaps) + "/m", {{"metadata", {{"labels", {{"team", "b"}}}}}});
  const auto events = read_events(*watch.stream, 2);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0]["type"], "ADDED");
  EXPECT_EQ(events[1]["type"], "DELETED");
}

TEST(HttpApi, PagesCoverAListWithoutRepeating) {
  Api api;
  for (int i = 0; i < 7; ++i)
    (void)api.json("POST", "/api/v1/namespaces/kube-public/configmaps", config_map("m" + std::to_string(i)));
  std::vector<std::string> names;
  std::string next;
  do {
    const Json page = api.json("GET", "/api/v1/namespaces/kube-public/configmaps?limit=3" +
                                          (next.empty() ? "" : "&continue=" + next));
    for (const Json& item : page["items"]) names.push_back(item["metadata"]["name"]);
    next = page["metadata"].value("continue", "");
  } while (!next.empty());
  EXPECT_EQ(names, (std::vector<std::string>{"kube-root-ca.crt", "m0", "m1", "m2", "m3", "m4", "m5", "m6"}));
}

TEST(HttpApi, AFinalizerHoldsAnObjectUntilItIsRemoved) {
  Api api;
  Json object = config_map("held");
  object["metadata"]["finalizers"] = {"example.dev/hold"};
  (void)api.json("POST", kMaps, object);
  EXPECT_TRUE(api.json("DELETE", std::string(kMaps) + "/held")["metadata"].contains("deletionTimestamp"));
  EXPECT_EQ(api.call("GET", std::string(kMaps) + "/held").status, 200);
  (void)api.merge(std::string(kMaps) + "/held", {{"metadata", {{"finalizers", nullptr}}}});
  EXPECT_EQ(api.call("GET", std::string(kMaps) + "/held").status, 404);
}

TEST(HttpApi, DependentsGoWithTheirOwner) {
  Api api;
  const Json owner = api.json("POST", kMaps, config_map("owner"));
  Json child = config_map("child");
  child["metadata"]["ownerReferences"] = Json::array(
      {{{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"name", "owner"}, {"uid", owner["metadata"]["uid"]}}});
  (void)api.json("POST", kMaps, child);
  (void)api.json("DELETE", std::string(kMaps) + "/owner");
  EXPECT_TRUE(eventually([&] { return api.call("GET", std::string(kMaps) + "/child").status == 404; }));
}

TEST(HttpApi, ANamespaceTakesItsContentWithIt) {
  Api api;
  const Json space{{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", "brief"}}}};
  ASSERT_EQ(api.call("POST", "/api/v1/namespaces", space).status, 201);
  (void)api.json("POST", "/api/v1/namespaces/brief/configmaps", config_map("a"));
  (void)api.json("DELETE", "/api/v1/namespaces/brief");
  EXPECT_TRUE(eventually([&] { return api.call("GET", "/api/v1/namespaces/brief").status == 404; }));
  EXPECT_EQ(api.store.get("configmaps", "brief", "a"), nullptr);
}

TEST(HttpApi, HostileBodiesAreRefusedNotFatal) {
  Api api;
  for (const std::string& body :
       {std::string("{"), std::string("[]"), std::string("null"), std::string(100000, '['),
        std::string("{\"metadata\":5}"), std::string("{\"metadata\":{\"labels\":[1]}}"),
        std::string("\xff\xfe{}")}) {
    EXPECT_GE(api.call("POST", kMaps, Json(body)).status, 400) << body.substr(0, 40);
    EXPECT_GE(api.call("POST", kMaps, Json(body), "application/vnd.kubernetes.protobuf").status, 400);
  }
}

}  // namespace
}  // namespace muster::local
