// tests/kube/events_test.cc: aggregation, the spam filter, and a recorder that never blocks
#include "kube/events.h"

#include <gtest/gtest.h>

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
  EXPECT_EQ(first->body["involvedObject"]["uid"], "u");
  EXPECT_EQ(first->body["firstTimestamp"], "2023-11-14T22:13:21Z");
  const auto second = see(record("created 4 pods"));
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->patch);
  EXPECT_EQ(second->name, first->name);
  EXPECT_EQ(second->body["count"], 2);
}

TEST_F(Correlator, MoreThanTenAlikeBecomeOne) {
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(see(record("pod " + std::to_string(i)))->patch);
  const auto combined = see(record("pod 10"));
  EXPECT_FALSE(combined->patch);
  EXPECT_EQ(combined->body["message"], "(combined from similar events): pod 10");
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
  EXPECT_LE(see(record(std::string(5000, 'x')))->body["message"].get<std::string>().size(), 1024U);
}

TEST_F(Correlator, AMessageIsCutBetweenCharacters) {
  for (int lead = 0; lead < 3; ++lead) {  // each is of two bytes: one of the two cuts falls inside
    std::string message(static_cast<std::size_t>(lead), 'x');
    for (int i = 0; i < 1000; ++i) message += "\u00e9";
    EXPECT_NO_THROW(static_cast<void>(see(record(message))->body.dump())) << lead;
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
