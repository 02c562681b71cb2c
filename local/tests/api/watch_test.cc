// Watches: what comes in which order, bookmarks, tables, and how they end.
#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";

std::vector<std::string> types_of(const std::vector<Json>& events) {
  std::vector<std::string> types;
  types.reserve(events.size());
  for (const Json& event : events) types.push_back(event["type"]);
  return types;
}

Json labelled(const std::string& name, const std::string& team) {
  Json object = config_map(name);
  object["metadata"]["labels"]["team"] = team;
  return object;
}

TEST(Watch, WithoutAVersionItBeginsWithWhatIsThere) {
  Api api;
  (void)api.json("POST", kMaps, labelled("a", "x"));
  const HttpResponse watch =
      api.call("GET", std::string(kMaps) + "?watch=1&resourceVersion=0&labelSelector=team");
  (void)api.json("POST", kMaps, labelled("b", "x"));
  const auto events = read_events(*watch.stream, 2);
  EXPECT_EQ(types_of(events), (std::vector<std::string>{"ADDED", "ADDED"}));
}

TEST(Watch, ObjectsComeIntoAndGoOutOfASelector) {
  Api api;
  const HttpResponse watch = api.call("GET", std::string(kMaps) + "?watch=true&labelSelector=team%3Dx");
  (void)api.json("POST", kMaps, labelled("a", "x"));
  (void)api.merge(std::string(kMaps) + "/a", {{"data", {{"k", "v"}}}});
  const Json moved = api.merge(std::string(kMaps) + "/a", {{"metadata", {{"labels", {{"team", "y"}}}}}});
  (void)api.merge(std::string(kMaps) + "/a", {{"data", {{"k", "w"}}}});  // unseen
  (void)api.merge(std::string(kMaps) + "/a", {{"metadata", {{"labels", {{"team", "x"}}}}}});
  (void)api.json("DELETE", std::string(kMaps) + "/a");
  const auto events = read_events(*watch.stream, 5);
  ASSERT_EQ(types_of(events), (std::vector<std::string>{"ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"}));
  EXPECT_EQ(events[2]["object"]["metadata"]["labels"]["team"], "x") << "its last state in the selector";
  EXPECT_EQ(events[2]["object"]["metadata"]["resourceVersion"], moved["metadata"]["resourceVersion"]);
}

TEST(Watch, TheLastFinalizerGoesWithTheObject) {
  Api api;
  Json object = config_map("held");
  object["metadata"]["finalizers"] = {"example.dev/hold"};
  (void)api.json("POST", kMaps, object);
  const HttpResponse watch =
      api.call("GET", std::string(kMaps) + "?watch=true&fieldSelector=metadata.name%3Dheld");
  (void)api.json("DELETE", std::string(kMaps) + "/held");
  (void)api.merge(std::string(kMaps) + "/held", {{"metadata", {{"finalizers", nullptr}}}});
  (void)api.json("POST", kMaps, config_map("held"));
  const auto events = read_events(*watch.stream, 4);
  EXPECT_EQ(types_of(events), (std::vector<std::string>{"ADDED", "MODIFIED", "DELETED", "ADDED"}));
}

HttpApi::Options with_watch_list() {
  HttpApi::Options options;
  options.watch_list = true;
  return options;
}

TEST(Watch, InitialEventsEndWithABookmarkThatSaysSo) {
  Api api(with_watch_list());
  (void)api.json("POST", kMaps, labelled("a", "x"));
  const HttpResponse watch = api.call(
      "GET",
      std::string(kMaps) +
          "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
          "&labelSelector=team");
  (void)api.json("POST", kMaps, labelled("b", "x"));
  const auto events = read_events(*watch.stream, 3);
  ASSERT_EQ(types_of(events), (std::vector<std::string>{"ADDED", "BOOKMARK", "ADDED"}));
  EXPECT_EQ(events[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
  EXPECT_EQ(events[1]["object"]["metadata"]["resourceVersion"],
            events[0]["object"]["metadata"]["resourceVersion"]);
}

TEST(Watch, WithoutInitialEventsItBeginsWithWhatComes) {
  Api api(with_watch_list());
  (void)api.json("POST", kMaps, labelled("a", "x"));
  const HttpResponse watch = api.call(
      "GET", std::string(kMaps) +
                 "?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&labelSelector=team");
  (void)api.json("POST", kMaps, labelled("b", "x"));
  const auto events = read_events(*watch.stream, 1);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0]["object"]["metadata"]["name"], "b");
}

TEST(Watch, ABookmarkTellsHowFarItGotBeforeItEnds) {
  Api api;
  const HttpResponse watch = api.call(
      "GET", std::string(kMaps) + "?watch=true&allowWatchBookmarks=true&timeoutSeconds=3&labelSelector=none");
  (void)api.json("POST", kMaps, config_map("unseen"));
  const auto events = read_events(*watch.stream, 1);
  ASSERT_EQ(types_of(events), std::vector<std::string>{"BOOKMARK"});
  EXPECT_EQ(events[0]["object"]["metadata"]["resourceVersion"], std::to_string(api.store.version()));
  EXPECT_EQ(events[0]["object"]["kind"], "ConfigMap");
}

TEST(Watch, ItEndsAtItsTimeout) {
  Api api;
  const HttpResponse watch =
      api.call("GET", std::string(kMaps) + "?watch=true&timeoutSeconds=1&labelSelector=none");
  EXPECT_TRUE(read_events(*watch.stream, 1).empty());
  std::string rest;
  EXPECT_EQ(watch.stream->pull(rest), BodyStream::State::kEnd);
}

TEST(Watch, AWatchThatFallsBehindTheHistoryEndsWithExpired) {
  Api api;
  const HttpResponse watch = api.call("GET", std::string(kMaps) + "?watch=true&labelSelector=none");
  (void)api.json("POST", kMaps, config_map("a"));
  api.store.compact();
  const auto events = read_events(*watch.stream, 1);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0]["object"]["reason"], "Expired");
}

TEST(Watch, ATableDescribesItsColumnsOnce) {
  Api api;
  (void)api.json("POST", kMaps, labelled("a", "x"));
  const HttpResponse watch = api.call("GET", std::string(kMaps) + "?watch=true&labelSelector=team", nullptr,
                                      "", "application/json;as=Table;v=v1;g=meta.k8s.io");
  (void)api.merge(std::string(kMaps) + "/a", {{"data", {{"k", "v"}}}});
  const auto events = read_events(*watch.stream, 2);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0]["object"]["columnDefinitions"].size(), 3U);
  EXPECT_TRUE(events[1]["object"]["columnDefinitions"].is_null());
  EXPECT_EQ(events[1]["object"]["rows"][0]["cells"][1], 1);
}

TEST(Watch, TheOlderPathsAndOneObjectByName) {
  Api api;
  (void)api.json("POST", kMaps, labelled("a", "x"));
  (void)api.json("POST", kMaps, labelled("b", "x"));
  for (const char* path : {"/api/v1/watch/namespaces/default/configmaps/a",
                           "/api/v1/namespaces/default/configmaps?watch&fieldSelector=metadata.name%3Da"}) {
    const HttpResponse watch = api.call("GET", path);
    ASSERT_NE(watch.stream, nullptr) << path;
    (void)api.merge(std::string(kMaps) + "/b", {{"data", {{"k", path}}}});
    (void)api.merge(std::string(kMaps) + "/a", {{"data", {{"k", path}}}});
    const auto events = read_events(*watch.stream, 2);
    ASSERT_EQ(events.size(), 2U) << path;
    EXPECT_EQ(events[1]["object"]["metadata"]["name"], "a") << path;
  }
}

}  // namespace
}  // namespace muster::local
