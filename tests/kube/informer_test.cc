// tests/kube/informer_test.cc: the store follows list and watch, and our own writes
#include "kube/informer.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/support/fake_transport.h"

namespace muster::kube {
namespace {

using std::chrono::seconds;

Json pod(const std::string& name, const std::string& version, const std::string& owner = "o") {
  return {{"metadata",
           {{"name", name},
            {"namespace", "n"},
            {"uid", "uid-" + name},
            {"resourceVersion", version},
            {"owner", owner},
            {"managedFields", {1, 2}}}}};
}
Json list_of(const std::string& version, std::vector<Json> items, const std::string& next = "") {
  Json list{{"metadata", {{"resourceVersion", version}}}, {"items", std::move(items)}};
  if (!next.empty()) list["metadata"]["continue"] = next;
  return list;
}
std::string event_line(const std::string& type, const Json& object) {
  return Json{{"type", type}, {"object", object}}.dump() + "\n";
}
Object shared(Json object) { return std::make_shared<const Json>(std::move(object)); }
std::string version_of(const Object& object) { return (*object)["metadata"]["resourceVersion"]; }

TEST(Store, KeepsTheNewerOfTwoVersions) {
  Store store;
  EXPECT_TRUE(store.upsert(shared(pod("a", "10"))));
  EXPECT_FALSE(store.upsert(shared(pod("a", "9"))));
  EXPECT_EQ(version_of(store.get("n/a")), "10");
  EXPECT_TRUE(store.upsert(shared(pod("a", "11"))));
}

TEST(Store, AnAnswerThatComesAfterTheDeletionDoesNotBringTheObjectBack) {
  Store store;
  store.erase(pod("a", "12"));
  EXPECT_FALSE(store.upsert(shared(pod("a", "11"))));
  EXPECT_EQ(store.get("n/a"), nullptr);
  Json anew = pod("a", "20");
  anew["metadata"]["uid"] = "another";
  EXPECT_TRUE(store.upsert(shared(anew)));
  store.erase(pod("a", "13"));
  EXPECT_NE(store.get("n/a"), nullptr) << "the end of the one before, told late";
}

TEST(Store, LateNewsOfAnEarlierObjectOfTheNameTakesNothingAway) {
  Store store;
  Json anew = pod("a", "20");
  anew["metadata"]["uid"] = "another";
  store.upsert(shared(anew));
  EXPECT_FALSE(store.upsert(shared(pod("a", "12"))));
  store.erase(pod("a", "13"));
  EXPECT_NE(store.get("n/a"), nullptr);
}

TEST(Store, TheIndexFollowsChangesAndDeletions) {
  Store store([](const Json& object) { return object["metadata"]["owner"].get<std::string>(); });
  store.upsert(shared(pod("a", "1", "x")));
  store.upsert(shared(pod("b", "2", "x")));
  store.upsert(shared(pod("a", "3", "y")));
  EXPECT_EQ(store.by_index("x").size(), 1U);
  EXPECT_EQ(store.by_index("y").size(), 1U);
  store.erase(pod("b", "4", "x"));
  EXPECT_TRUE(store.by_index("x").empty());
  static_cast<void>(store.replace({shared(pod("c", "5", "x"))}, "5"));
  EXPECT_EQ(store.by_index("x").size(), 1U);
  EXPECT_TRUE(store.by_index("y").empty());
}

TEST(Store, AnIndexedObjectComesBackAsItWas) {
  Store store([](const Json& object) { return object["metadata"]["owner"].get<std::string>(); });
  Json object = pod("a", "1", "x");
  object["status"] = Json::parse(R"({"nothing": null, "flag": true, "negative": -5, "large": 12345678901234,
      "half": 0.5, "tenth": 0.1, "text": "\u00fc \u0000 \n", "empty": {}, "list": [[], {"a": ""}, -1]})");
  store.upsert(shared(object));
  EXPECT_EQ(*store.get("n/a"), object);
  ASSERT_EQ(store.by_index("x").size(), 1U);
  EXPECT_EQ(*store.by_index("x").front(), object);
  EXPECT_EQ(*store.list().front(), object);
}

TEST(Store, AnOlderListTakesNothingBackThatIsKnownToBeNewer) {
  Store store([](const Json& object) { return object["metadata"]["owner"].get<std::string>(); });
  store.upsert(shared(pod("changed", "21", "x")));
  store.upsert(shared(pod("made", "22", "x")));
  store.upsert(shared(pod("gone", "9", "x")));
  const auto gone = store.replace({shared(pod("changed", "15")), shared(pod("other", "16", "x"))}, "20");
  EXPECT_EQ(version_of(store.get("n/changed")), "21");
  EXPECT_EQ(version_of(store.get("n/made")), "22") << "written while the pages came";
  EXPECT_EQ(store.get("n/gone"), nullptr);
  ASSERT_EQ(gone.size(), 1U);
  EXPECT_EQ((*gone[0])["metadata"]["name"], "gone");
  EXPECT_EQ(store.by_index("x").size(), 3U);
}

TEST(Store, AnAnswerThatComesAfterAListWithoutItsObjectDoesNotBringItBack) {
  Store store;
  EXPECT_TRUE(store.upsert(shared(pod("a", "10"))));
  EXPECT_EQ(store.replace({}, "12").size(), 1U);
  EXPECT_FALSE(store.upsert(shared(pod("a", "11"))))
      << "its deletion was between two watches: none will tell";
  EXPECT_FALSE(store.upsert(shared(pod("a", "12"))));
  EXPECT_EQ(store.get("n/a"), nullptr);
  EXPECT_EQ(store.size(), 0U);
  EXPECT_TRUE(store.upsert(shared(pod("a", "13")))) << "made after the list";
}

TEST(Store, ComparesVersionsAsNumbers) {
  EXPECT_TRUE(newer_version("10", "9"));
  EXPECT_FALSE(newer_version("9", "10"));
  EXPECT_FALSE(newer_version("10", "10"));
  EXPECT_FALSE(newer_version("x", "1"));
}

class InformerTest : public ::testing::TestWithParam<bool> {  // with an index, or without
 protected:
  std::unique_ptr<Informer> make() {
    Informer::Options options;
    options.ns = "n";
    options.project = [](Json& object) { object["metadata"].erase("managedFields"); };
    if (GetParam())
      options.index = [](const Json& object) { return object["metadata"]["owner"].get<std::string>(); };
    options.on_change = [this](const Object& object, bool deleted) {
      const std::lock_guard lock(mutex_);
      changes_.push_back((deleted ? "-" : "+") + (*object)["metadata"]["name"].get<std::string>());
      changed_.notify_all();
    };
    options.watcher.backoff = {.first = std::chrono::milliseconds(1), .max = std::chrono::milliseconds(5)};
    auto informer = std::make_unique<Informer>(client_, kPods, std::move(options));
    informer->start();
    return informer;
  }
  std::vector<std::string> wait_changes(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, seconds(10), [&] { return changes_.size() >= count; });
    return changes_;
  }
  // As a pass reads it: by its owner, where there is an index.
  static std::vector<Object> read(const Store& store) {
    return GetParam() ? store.by_index("o") : store.list();
  }
  std::shared_ptr<FakeTransport> transport_ = std::make_shared<FakeTransport>();
  Client client_{transport_, nullptr, {}};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> changes_;
};

TEST_P(InformerTest, FillsTheStoreFromPagesAndTheWatch) {
  transport_->will_json(200, list_of("5", {pod("a", "1")}, "more"));
  transport_->will_json(200, list_of("5", {pod("b", "2")}));
  transport_->will(FakeTransport::Stream{
      .pieces = {event_line("ADDED", pod("c", "6")), event_line("DELETED", pod("a", "7"))},
      .stays_open = true});
  const auto informer = make();
  EXPECT_EQ(wait_changes(4), (std::vector<std::string>{"+a", "+b", "+c", "-a"}));
  EXPECT_TRUE(informer->synced());
  EXPECT_EQ(read(informer->store()).size(), 2U);
  EXPECT_FALSE((*informer->store().get("n/c"))["metadata"].contains("managedFields"));
}

TEST_P(InformerTest, AfterGoneItListsAgainAndTellsOfObjectsThatAreLost) {
  transport_->will_json(200, list_of("5", {pod("a", "1"), pod("b", "2")}));
  transport_->will_json(410, {{"kind", "Status"}, {"reason", "Expired"}});
  transport_->will_json(200, list_of("9", {pod("b", "8")}));
  transport_->will(FakeTransport::Stream{.stays_open = true});
  const auto informer = make();
  EXPECT_EQ(wait_changes(4), (std::vector<std::string>{"+a", "+b", "-a", "+b"}));
  EXPECT_NE(transport_->requests()[2].target.find("resourceVersion=5"), std::string::npos);
}

TEST_P(InformerTest, ACutWatchGoesOnFromTheLastVersion) {
  transport_->will_json(200, list_of("5", {}));
  transport_->will(
      FakeTransport::Stream{.pieces = {event_line("ADDED", pod("a", "6"))}, .end = unavailable("cut")});
  transport_->will(FakeTransport::Stream{.pieces = {event_line("ADDED", pod("b", "7"))}, .stays_open = true});
  const auto informer = make();
  EXPECT_EQ(wait_changes(2), (std::vector<std::string>{"+a", "+b"}));
  EXPECT_NE(transport_->requests()[2].target.find("resourceVersion=6"), std::string::npos);
}

TEST_P(InformerTest, OurOwnWriteIsSeenAtOnceAndItsEchoChangesNothing) {
  transport_->will_json(200, list_of("5", {}));
  const auto informer = make();
  ASSERT_TRUE(informer->wait_synced(deadline_after(seconds(10))));
  informer->observe_write(pod("a", "6"));
  EXPECT_NE(informer->store().get("n/a"), nullptr);
}

TEST_P(InformerTest, EndsWithinAMomentWhileAWatchIsOpen) {
  transport_->will_json(200, list_of("5", {}));
  auto informer = make();
  ASSERT_TRUE(transport_->wait_for_requests(2));
  auto gone = std::async(std::launch::async, [&] { informer.reset(); });
  EXPECT_EQ(gone.wait_for(seconds(5)), std::future_status::ready);
}

INSTANTIATE_TEST_SUITE_P(Stores, InformerTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Indexed" : "Plain"; });

}  // namespace
}  // namespace muster::kube
