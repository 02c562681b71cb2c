// tests/kube/events_test.cc: aggregation, the spam filter, and a recorder that never blocks
#include "kube/events.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "tests/support/fake_transport.h"

namespace muster::kube {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

EventRecord record(const std::string& message, const std::string& uid = "u") {
  return {.regarding = {{"kind", "DistributedJob"}, {"namespace", "n"}, {"name", "x"}, {"uid", uid}},
          .type = "Normal",
          .reason = "Created",
          .message = message};
}

class Correlator : public ::testing::Test {
 protected:
  std::optional<EventWrite> see(EventRecord what) {
    wall_ += seconds(1);
    return correlator_.correlate(std::move(what), now_, wall_);
  }
  EventCorrelator correlator_{"muster-operator"};
  Instant now_{std::chrono::hours(1)};
  WallTime wall_ = std::chrono::system_clock::from_time_t(1'700'000'000);
};

TEST_F(Correlator, TheFirstIsCreatedTheSameAgainRaisesItsCount) {
  const auto first = see(record("created 4 pods"));
  ASSERT_TRUE(first);
  EXPECT_FALSE(first->patch);
  EXPECT_EQ(first->event["involvedObject"]["uid"], "u");
  EXPECT_EQ(first->event["firstTimestamp"], "2023-11-14T22:13:21Z");
  const auto second = see(record("created 4 pods"));
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->patch);
  EXPECT_EQ(second->name, first->name);
  EXPECT_EQ((*second->patch)["count"], 2);
}

TEST_F(Correlator, MoreThanTenAlikeBecomeOne) {
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(see(record("pod " + std::to_string(i)))->patch);
  const auto combined = see(record("pod 10"));
  EXPECT_FALSE(combined->patch);
  EXPECT_EQ(combined->event["message"], "(combined from similar events): pod 10");
  const auto next = see(record("pod 11"));
  EXPECT_TRUE(next->patch);
  EXPECT_EQ(next->name, combined->name);
}

TEST_F(Correlator, ABurstOfOneObjectIsCutAt25AndOthersAreNot) {
  int written = 0;
  for (int i = 0; i < 100; ++i) written += see(record("m")) ? 1 : 0;
  EXPECT_EQ(written, 25);
  EXPECT_TRUE(see(record("m", "another")));
  now_ += minutes(5) + seconds(1);
  EXPECT_TRUE(see(record("m")));
  EXPECT_FALSE(see(record("m")));
}

TEST_F(Correlator, LongMessagesAreCut) {
  EXPECT_LE(see(record(std::string(5000, 'x')))->event["message"].get<std::string>().size(), 1024U);
}

TEST_F(Correlator, AMessageIsCutBetweenCharacters) {
  for (int lead = 0; lead < 3; ++lead) {  // each is of two bytes: one of the two cuts falls inside
    std::string message(static_cast<std::size_t>(lead), 'x');
    for (int i = 0; i < 1000; ++i) message += "\u00e9";
    EXPECT_NO_THROW(static_cast<void>(see(record(message))->event.dump())) << lead;
  }
}

TEST(EventRecorder, BytesThatAreNoTextAreReplaced) {
  auto transport = std::make_shared<FakeTransport>();
  Client client(transport, nullptr, {});
  {
    EventRecorder recorder(client, "muster-operator");
    recorder.record(record("\xff\xfe"));
    recorder.record(record("next"));
  }
  ASSERT_EQ(transport->requests().size(), 2U);
  EXPECT_EQ(Json::parse(transport->requests()[0].body)["message"], "\uFFFD\uFFFD");
}

// What the API server holds of our events; they may expire, and creating them may fail.
class EventStore {
 public:
  explicit EventStore(FakeTransport& transport) {
    transport.otherwise([this](const HttpRequest& request) -> FakeTransport::Answer {
      const std::lock_guard lock(mutex_);
      if (std::exchange(broken_, false)) return unavailable("no connection");
      const Json body = Json::parse(request.body);
      if (request.method == "POST") {
        events_[body["metadata"]["name"]] = body;
        return HttpResponse{.status = 201, .headers = {}, .body = request.body};
      }
      const auto found = events_.find(request.target.substr(request.target.rfind('/') + 1));
      if (found == events_.end()) return HttpResponse{.status = 404, .headers = {}, .body = "{}"};
      found->second.merge_patch(body);
      return HttpResponse{.status = 200, .headers = {}, .body = found->second.dump()};
    });
  }
  void expire() {
    const std::lock_guard lock(mutex_);
    events_.clear();
  }
  void refuse_next() {
    const std::lock_guard lock(mutex_);
    broken_ = true;
  }
  [[nodiscard]] std::vector<Json> events() {
    const std::lock_guard lock(mutex_);
    std::vector<Json> all;
    for (const auto& [name, event] : events_) all.push_back(event);
    return all;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Json> events_;
  bool broken_ = false;
};

class RecurringEvent : public ::testing::Test {
 protected:
  void tell(std::size_t requests) {
    recorder_->record(record("the same warning"));
    ASSERT_TRUE(transport_->wait_for_requests(requests));
  }
  std::shared_ptr<FakeTransport> transport_ = std::make_shared<FakeTransport>();
  EventStore store_{*transport_};
  Client client_{transport_, nullptr, {}};
  std::unique_ptr<EventRecorder> recorder_ = std::make_unique<EventRecorder>(client_, "muster-operator");
};

TEST_F(RecurringEvent, IsCreatedAnewWhenItHasExpired) {
  tell(1);
  tell(2);
  store_.expire();
  tell(4);  // the patch, answered 404, and the create
  recorder_.reset();
  ASSERT_EQ(store_.events().size(), 1U);
  const Json event = store_.events()[0];
  EXPECT_EQ(event["count"], 3);
  EXPECT_EQ(event["message"], "the same warning");
  EXPECT_EQ(event["involvedObject"]["uid"], "u");
  EXPECT_TRUE(event.contains("firstTimestamp"));
}

TEST_F(RecurringEvent, IsCreatedWhenCreatingItHadFailed) {
  store_.refuse_next();
  tell(1);
  tell(3);
  recorder_.reset();
  ASSERT_EQ(store_.events().size(), 1U);
  EXPECT_EQ(store_.events()[0]["count"], 2);
}

TEST(EventRecorder, WritesInTheBackgroundAndFlushesAtTheEnd) {
  auto transport = std::make_shared<FakeTransport>();
  Client client(transport, nullptr, {});
  {
    EventRecorder recorder(client, "muster-operator");
    for (int i = 0; i < 5; ++i) recorder.record(record("m" + std::to_string(i)));
  }
  EXPECT_EQ(transport->requests().size(), 5U);  // all were refused with 404: dropped, no retry
  EXPECT_EQ(transport->requests()[0].target, "/api/v1/namespaces/n/events");
}

}  // namespace
}  // namespace muster::kube
