// Lists: pages of one snapshot, resource versions, and the options that do not go together.
#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

constexpr const char* kMaps = "/api/v1/namespaces/kube-public/configmaps";

std::vector<std::string> names_of(const Json& list) {
  std::vector<std::string> names;
  for (const Json& item : list["items"]) names.push_back(item["metadata"]["name"]);
  return names;
}

class List : public testing::Test {
 protected:
  void SetUp() override {
    (void)api.json("DELETE", std::string(kMaps) + "/kube-root-ca.crt");
    for (const char* name : {"a", "b", "c", "d", "e"}) add(name);
  }
  void add(const std::string& name) { (void)api.json("POST", kMaps, config_map(name, {{"v", "1"}})); }
  Json page(const std::string& query) { return api.get(std::string(kMaps) + "?" + query); }

  Api api;
};

TEST_F(List, LaterPagesShowTheListAsOfTheFirst) {
  const Json first = page("limit=2");
  EXPECT_EQ(names_of(first), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(first["metadata"]["remainingItemCount"], 3);
  add("bb");                                                                   // new
  (void)api.json("DELETE", std::string(kMaps) + "/c");                         // gone
  (void)api.merge(std::string(kMaps) + "/d", {{"data", {{"v", "changed"}}}});  // another
  (void)api.json("DELETE", std::string(kMaps) + "/e");                         // gone and come back
  add("e");
  const Json second = page("limit=9&continue=" + first["metadata"]["continue"].get<std::string>());
  EXPECT_EQ(names_of(second), (std::vector<std::string>{"c", "d", "e"}));
  EXPECT_EQ(second["items"][1]["data"]["v"], "1");
  EXPECT_EQ(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
  EXPECT_FALSE(second["metadata"].contains("continue"));
}

TEST_F(List, AnExpiredTokenSaysSoAndOffersToGoOnWithoutConsistency) {
  const std::string token = page("limit=2")["metadata"]["continue"];
  add("bb");
  api.store.compact();
  const HttpResponse expired = api.call("GET", std::string(kMaps) + "?limit=2&continue=" + token);
  EXPECT_EQ(expired.status, 410);
  const Json status = Json::parse(expired.body);
  EXPECT_EQ(status["reason"], "Expired");
  const Json rest = page("continue=" + status["metadata"]["continue"].get<std::string>());
  EXPECT_EQ(names_of(rest), (std::vector<std::string>{"bb", "c", "d", "e"}));
}

TEST_F(List, PagesOfAllNamespacesDoNotMixThemUp) {
  for (const char* name : {"a", "z"})
    (void)api.json("POST", "/api/v1/namespaces/default/configmaps", config_map(name));
  std::vector<std::string> names;
  std::string next;
  do {
    const Json some = api.get("/api/v1/configmaps?limit=1&fieldSelector=metadata.name!%3Dkube-root-ca.crt" +
                              (next.empty() ? "" : "&continue=" + next));
    for (const Json& item : some["items"])
      names.push_back(item["metadata"]["namespace"].get<std::string>() + "/" +
                      item["metadata"]["name"].get<std::string>());
    next = some["metadata"].value("continue", "");
  } while (!next.empty());
  EXPECT_EQ(names, (std::vector<std::string>{"default/a", "default/z", "kube-public/a", "kube-public/b",
                                             "kube-public/c", "kube-public/d", "kube-public/e"}));
}

TEST_F(List, ASelectorLeavesTheRemainingCountOut) {
  const Json first = page("limit=1&fieldSelector=metadata.name!%3Db");
  EXPECT_TRUE(first["metadata"].contains("continue"));
  EXPECT_FALSE(first["metadata"].contains("remainingItemCount"));
}

TEST_F(List, AnExactVersionIsThatVersion) {
  const std::string then = page("")["metadata"]["resourceVersion"];
  add("f");
  EXPECT_EQ(names_of(page("resourceVersionMatch=Exact&resourceVersion=" + then)).size(), 5U);
  EXPECT_EQ(names_of(page("resourceVersionMatch=NotOlderThan&resourceVersion=" + then)).size(), 6U);
  EXPECT_EQ(names_of(page("limit=9&resourceVersion=" + then)).size(), 5U) << "with a limit it is exact";
  EXPECT_EQ(page("resourceVersionMatch=Exact&resourceVersion=1")["message"],
            "The resourceVersion for the provided list is too old.");
}

TEST_F(List, VersionZeroIsNeverCutIntoPages) {
  EXPECT_EQ(names_of(page("limit=2&resourceVersion=0")).size(), 5U);
}

TEST_F(List, AVersionOfTheFutureIsATimeoutToBeTriedAgain) {
  const HttpResponse refused = api.call("GET", std::string(kMaps) + "?resourceVersion=99999999999999");
  EXPECT_EQ(refused.status, 504);
  EXPECT_EQ(Json::parse(refused.body)["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

TEST_F(List, WrongOptionsAreRefusedInTheRealServersWords) {
  const std::string path = std::string(kMaps) + "?";
  const std::pair<const char*, const char*> cases[] = {
      {"limit=x", "strconv.ParseInt: parsing \"x\": invalid syntax"},
      {"limit=99999999999999999999",
       "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"},
      {"resourceVersion=x",
       "invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": "
       "invalid syntax"},
      {"resourceVersionMatch=Exact",
       "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is "
       "forbidden unless resourceVersion is provided"},
      {"resourceVersionMatch=Exact&resourceVersion=0",
       "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "
       "\"exact\" is forbidden for resourceVersion \"0\""},
      {"resourceVersionMatch=Other&resourceVersion=1",
       "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Unsupported value: \"Other\": "
       "supported values: \"Exact\", \"NotOlderThan\", \"\""},
      {"sendInitialEvents=true",
       "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is "
       "forbidden for list"},
      {"watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
       "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is "
       "forbidden for watch unless the WatchList feature gate is enabled"},
      {"watch=true&resourceVersionMatch=NotOlderThan",
       "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is "
       "forbidden for watch unless sendInitialEvents is provided"},
      {"continue=%25",
       "invalid continue token: continue key is not valid: illegal base64 data at input "
       "byte 0"},
  };
  for (const auto& [query, message] : cases) EXPECT_EQ(api.get(path + query)["message"], message) << query;
}

}  // namespace
}  // namespace muster::local
