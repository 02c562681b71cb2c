// Events: one object under two groups, counted when they are said again, gone when nobody says them any more.
#include "local/api/local_client.h"
#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

constexpr const char* kCore = "/api/v1/namespaces/default/events";
constexpr const char* kNew = "/apis/events.k8s.io/v1/namespaces/default/events";

Json core_event(const std::string& name) {
  return Json{{"apiVersion", "v1"},
              {"kind", "Event"},
              {"metadata", {{"name", name}}},
              {"involvedObject", {{"kind", "Pod"}, {"name", "p"}, {"namespace", "default"}}},
              {"reason", "Started"},
              {"message", "it has started"},
              {"type", "Normal"},
              {"count", 2},
              {"source", {{"component", "test"}}}};
}

TEST(Event, BothGroupsShowTheSameObject) {
  Api api;
  (void)api.json("POST", kCore, core_event("e"));
  const Json seen = api.get(std::string(kNew) + "/e");
  EXPECT_EQ(seen["apiVersion"], "events.k8s.io/v1");
  EXPECT_EQ(seen["note"], "it has started");
  EXPECT_EQ(seen["regarding"]["name"], "p");
  EXPECT_EQ(seen["deprecatedCount"], 2);
  EXPECT_EQ(seen["deprecatedSource"]["component"], "test");
  EXPECT_FALSE(seen.contains("message"));
  EXPECT_FALSE(seen.contains("reportingController"));
  EXPECT_EQ(api.get(kNew)["items"][0], seen);
}

TEST(Event, WhatIsWrittenInOneGroupIsReadInTheOther) {
  Api api;
  const Json made{{"apiVersion", "events.k8s.io/v1"},
                  {"kind", "Event"},
                  {"metadata", {{"name", "e"}}},
                  {"regarding", {{"kind", "Pod"}, {"name", "p"}, {"namespace", "default"}}},
                  {"eventTime", "2026-01-01T00:00:00.000000Z"},
                  {"reportingController", "example.dev/test"},
                  {"reportingInstance", "test-0"},
                  {"action", "Testing"},
                  {"reason", "Started"},
                  {"note", "it has started"},
                  {"type", "Normal"}};
  ASSERT_EQ(api.call("POST", kNew, made).status, 201);
  const Json core = api.get(std::string(kCore) + "/e");
  EXPECT_EQ(core["message"], "it has started");
  EXPECT_EQ(core["reportingComponent"], "example.dev/test");
  EXPECT_EQ(core["apiVersion"], "v1");
  EXPECT_EQ(api.merge(std::string(kNew) + "/e", {{"note", "changed"}})["note"], "changed");
  EXPECT_EQ(api.get(std::string(kCore) + "/e")["message"], "changed");
  EXPECT_EQ(api.get(std::string(kNew) + "?fieldSelector=regarding.name%3Dp")["items"].size(), 1U);
  EXPECT_EQ(api.get(std::string(kNew) + "?fieldSelector=regarding.name%3Dq")["items"].size(), 0U);
  EXPECT_EQ(api.call("DELETE", std::string(kNew) + "/e").status, 200);
  EXPECT_EQ(api.call("GET", std::string(kCore) + "/e").status, 404);
}

TEST(Event, AWatchOfOneGroupSeesWritesOfTheOtherInItsOwnForm) {
  Api api;
  const HttpResponse watch = api.call("GET", std::string(kNew) + "?watch=true");
  (void)api.json("POST", kCore, core_event("e"));
  const auto events = read_events(*watch.stream, 1);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0]["object"]["note"], "it has started");
}

TEST(Event, WhatIsSaidAgainIsCounted) {
  Api api;
  LocalClient client(api.http, api.store);
  EventRecord record;
  record.regarding =
      Json{{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", {{"name", "p"}, {"namespace", "default"}}}};
  record.reason = "Pulled";
  record.message = "the image is there";
  for (int i = 0; i < 3; ++i) client.record_event(record);
  record.message = "another thing";
  client.record_event(record);
  const Json events = api.get(kCore)["items"];
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0]["count"].get<int>() + events[1]["count"].get<int>(), 4);
}

TEST(Event, AnEventThatIsGoneIsSaidAnew) {
  Api api;
  LocalClient client(api.http, api.store);
  EventRecord record;
  record.regarding = Json{{"kind", "Pod"}, {"metadata", {{"name", "p"}, {"namespace", "default"}}}};
  record.reason = "Pulled";
  client.record_event(record);
  (void)api.json("DELETE", kCore);
  ASSERT_TRUE(api.get(kCore)["items"].empty());
  client.record_event(record);
  EXPECT_EQ(api.get(kCore)["items"][0]["count"], 1);
}

TEST(Event, ItsLifetimeBeginsWithItsLastWrite) {
  Api lasting;
  Json old = core_event("old");
  old["lastTimestamp"] = "2001-01-01T00:00:00Z";
  (void)lasting.json("POST", kCore, old);
  EXPECT_EQ(lasting.call("GET", std::string(kCore) + "/old").status, 200);
  Api brief({}, std::chrono::seconds(0));
  (void)brief.json("POST", kCore, core_event("e"));
  EXPECT_TRUE(eventually([&] { return brief.call("GET", std::string(kCore) + "/e").status == 404; }));
}

}  // namespace
}  // namespace muster::local
