// tests/worker/shard_test.cc: a parameter server's machine, message by message: who is answered when, how
// stale gradients count, and what no worker may say
#include <gtest/gtest.h>

#include <cstring>

#include "common/base/random.h"
#include "worker/parallel/shard.h"

namespace muster::worker::test {
namespace {

using Kind = ShardMessage::Kind;
using Floats = std::vector<float>;

spec::Optimizer sgd(double rate) {
  spec::Optimizer made;
  made.learning_rate = rate;
  return made;
}

// A shard and the bodies that its workers have sent.
class Table {
 public:
  explicit Table(ShardOptions options, double rate = 1)
      : shard_(with_optimizer(std::move(options), rate), state_) {}

  Status say(int worker, ShardMessage head, const Floats& body = {}) {
    head.bytes = body.size() * sizeof(float);
    MUSTER_TRY(shard_.check(worker, head));
    auto& kept = bodies_[worker];
    kept.resize(head.bytes);
    if (!body.empty()) std::memcpy(kept.data(), body.data(), kept.size());
    return shard_.take(worker, head, kept);
  }
  // Whom the shard answers now, in order, with the parameters.
  std::vector<std::pair<int, Floats>> answers() {
    std::vector<std::pair<int, Floats>> made;
    while (const auto reply = shard_.next_reply()) {
      Floats values(reply->body.size() / sizeof(float));
      if (!values.empty()) std::memcpy(values.data(), reply->body.data(), reply->body.size());
      made.emplace_back(reply->worker, std::move(values));
      heads_[reply->worker] = reply->head;
    }
    return made;
  }
  std::vector<int> answered() {
    std::vector<int> workers;
    for (const auto& [worker, values] : answers()) workers.push_back(worker);
    return workers;
  }
  void begin(const Floats& parameters) {
    ASSERT_TRUE(say(0, {.kind = Kind::kBegin, .total = std::ssize(parameters)}, parameters));
    ASSERT_EQ(answered(), std::vector<int>{0});
  }
  // All pull at the beginning of a segment.
  void open(std::int64_t first, std::int64_t last, int workers) {
    ASSERT_TRUE(say(0, {.kind = Kind::kSegment, .step = first, .total = last}));
    for (int worker = 0; worker < workers; ++worker)
      ASSERT_TRUE(say(worker, {.kind = Kind::kPull, .step = first}));
    ASSERT_EQ(std::ssize(answered()), workers);
  }
  Status push(int worker, const Floats& gradient) {
    return say(worker, {.kind = Kind::kPush, .step = heads_[worker].step, .examples = 1, .total = 1},
               gradient);
  }

  Shard& shard() { return shard_; }
  ShardState& state() { return state_; }
  ShardMessage& head(int worker) { return heads_[worker]; }

 private:
  static ShardOptions with_optimizer(ShardOptions options, double rate) {
    options.make_optimizer = [rate](std::int64_t count) {
      return learning::make_optimizer(sgd(rate), count);
    };
    return options;
  }
  ShardState state_;
  Shard shard_;
  std::map<int, std::vector<std::byte>> bodies_;
  std::map<int, ShardMessage> heads_;
};

TEST(SynchronousShard, AnswersNobodyBeforeAllHavePushedThenAllWithTheMean) {
  Table table({.workers = 3});
  table.begin({10, 20});
  const auto push = [](std::int64_t step) {
    return ShardMessage{.kind = Kind::kPush, .step = step, .examples = 1, .total = 3, .loss = 2};
  };
  ASSERT_TRUE(table.say(2, push(0), {3, 0}));
  ASSERT_TRUE(table.say(0, push(0), {3, 3}));
  EXPECT_TRUE(table.answered().empty());
  EXPECT_EQ(table.shard().awaited(), std::vector<int>{1});
  ASSERT_TRUE(table.say(1, push(0), {3, 3}));
  const Floats after{7, 18};
  EXPECT_EQ(table.answers(), (std::vector<std::pair<int, Floats>>{{0, after}, {1, after}, {2, after}}));
  EXPECT_EQ(table.head(1).loss, 6);
  EXPECT_TRUE(table.shard().awaited().empty());
}

TEST(SynchronousShard, APartThatDoesNotFitIsRefusedBeforeItIsRead) {
  // 4 of 8 parameters, and as many of a gradient of each of 3 workers.
  ShardState state;
  ShardOptions options{.shard = 1, .shards = 2, .workers = 3};
  options.make_optimizer = [](std::int64_t count) { return learning::make_optimizer(sgd(1), count); };
  for (const bool fits : {true, false}) {
    options.memory_max = (1 + 3) * 4 * sizeof(float) - (fits ? 0 : 1);
    const Status told = Shard(options, state).check(0, {.kind = Kind::kBegin, .total = 8, .bytes = 16});
    EXPECT_EQ(static_cast<bool>(told), fits);
    if (!told) {
      EXPECT_EQ(told.error().code, Code::kInvalidArgument);
      EXPECT_NE(told.error().message.find("or the number of shards"), std::string::npos)
          << told.error().message;
    }
  }
}

TEST(SynchronousShard, WhatIsNoGradientIsNoFrame) {
  const auto framed = [](Kind kind) { return ShardMessage{.kind = kind, .flags = ShardMessage::kFrame}; };
  ShardMessage begin = framed(Kind::kBegin);
  begin.total = 1;
  EXPECT_FALSE(Table({.workers = 1}).say(0, begin, {10}));
  for (const Kind kind : {Kind::kPull, Kind::kState, Kind::kEnd}) {
    Table table({.workers = 1});
    table.begin({10});
    EXPECT_FALSE(table.say(0, framed(kind)));
  }
}

TEST(SynchronousShard, AnUpdateThatComesAgainIsAnsweredAndNotMade) {
  Table table({.workers = 1});
  table.begin({10});
  const ShardMessage push{.kind = Kind::kPush, .step = 4, .examples = 1, .total = 1};
  for (int time = 0; time < 2; ++time) {
    ASSERT_TRUE(table.say(0, push, {1}));
    EXPECT_EQ(table.answers(), (std::vector<std::pair<int, Floats>>{{0, {9}}}));
  }
  EXPECT_EQ(table.shard().updates(), 1);
}

TEST(SynchronousShard, WorkersAtDifferentStepsAreAnError) {
  Table table({.workers = 2});
  table.begin({10});
  ASSERT_TRUE(table.say(0, {.kind = Kind::kPush, .step = 4, .examples = 1, .total = 2}, {1}));
  const Status said = table.say(1, {.kind = Kind::kPush, .step = 5, .examples = 1, .total = 2}, {1});
  ASSERT_FALSE(said);
  EXPECT_EQ(said.error().code, Code::kInternal);
  EXPECT_NE(said.error().message.find("rank 1 is at step 6"), std::string::npos) << said.error().message;
}

TEST(SynchronousShard, AServerThatIsAskedToStopTellsAllWorkersInTheSameStep) {
  Table table({.workers = 2});
  table.begin({10});
  const auto step = [&](std::int64_t number) {
    for (int worker = 0; worker < 2; ++worker)
      ASSERT_TRUE(table.say(worker, {.kind = Kind::kPush, .step = number, .examples = 1, .total = 2}, {1}));
    ASSERT_TRUE(table.shard().next_reply());
    if (number == 0) table.shard().ask_stop();  // between the two answers of a step
    const auto second = table.shard().next_reply();
    ASSERT_TRUE(second);
    EXPECT_EQ(second->head.has(ShardMessage::kStop), number == 1);
  };
  step(0);
  step(1);
}

TEST(AsynchronousShard, AnswersEachAtOnceAndGivesOutEachBatchOnce) {
  Table table({.workers = 2, .asynchronous = true});
  table.begin({10});
  table.open(0, 3, 2);
  EXPECT_EQ(table.head(0).step, 0);
  EXPECT_EQ(table.head(1).step, 1);
  ASSERT_TRUE(table.push(1, {1}));
  EXPECT_EQ(table.answers(), (std::vector<std::pair<int, Floats>>{{1, {9}}}));
  EXPECT_EQ(table.head(1).step, 2);
  ASSERT_TRUE(table.push(1, {1}));
  EXPECT_EQ(table.answered(), std::vector<int>{1});
  EXPECT_TRUE(table.head(1).has(ShardMessage::kOver));
  ASSERT_TRUE(table.push(0, {1}));
  EXPECT_EQ(table.answers(), (std::vector<std::pair<int, Floats>>{{0, {7}}}));
  EXPECT_TRUE(table.head(0).has(ShardMessage::kOver));
  EXPECT_EQ(table.head(0).step, 3);
  EXPECT_EQ(table.shard().staleness(), (std::vector<std::int64_t>{2, 0, 1}));  // fresh, fresh, 2 updates old
}

TEST(AsynchronousShard, DelayCompensationIsThePapersFormula) {
  Table table({.workers = 2, .asynchronous = true, .delay_compensation = 0.5});
  table.begin({10});
  table.open(0, 4, 2);
  ASSERT_TRUE(table.push(0, {2}));  // w - w_then = 0: 10 - 2
  EXPECT_EQ(table.answers()[0].second, Floats{8});
  ASSERT_TRUE(table.push(1, {2}));  // 2 + 0.5 * 2 * 2 * (8 - 10) = -2
  EXPECT_EQ(table.answers()[0].second, Floats{10});
}

TEST(AsynchronousShard, AStaleUpdateWeighsOneOverItsStaleness) {
  Table table({.workers = 2, .asynchronous = true, .staleness_aware = true});
  table.begin({0});
  table.open(0, 9, 2);
  for (int time = 0; time < 4; ++time) {
    ASSERT_TRUE(table.push(0, {-1}));
    EXPECT_EQ(table.answered(), std::vector<int>{0});
  }
  ASSERT_TRUE(table.push(1, {-1}));
  EXPECT_EQ(table.answers()[0].second, Floats{4.25F});
}

TEST(AsynchronousShard, NoWorkerGetsFurtherAheadOfTheSlowestThanMaxStalenessAllows) {
  const std::uint64_t seed = 20261130;
  SCOPED_TRACE(seed);
  Random random(seed);
  for (const std::int64_t bound : {0, 1, 3}) {
    constexpr int kWorkers = 4;
    Table table({.workers = kWorkers, .asynchronous = true, .max_staleness = bound});
    table.begin({0});
    table.open(0, 1000, kWorkers);
    std::vector<std::int64_t> pushed(kWorkers);
    std::vector<bool> free(kWorkers, true);
    for (int time = 0; time < 500; ++time) {
      // The last worker is slow.
      const auto worker = static_cast<std::size_t>(random.below(10) == 0 ? 3 : random.below(3));
      if (!free[worker]) continue;
      ASSERT_TRUE(table.push(static_cast<int>(worker), {1}));
      ++pushed[worker];
      free[worker] = false;
      for (const int answered : table.answered()) free[static_cast<std::size_t>(answered)] = true;
      const auto [slowest, fastest] = std::ranges::minmax(pushed);
      EXPECT_LE(fastest - slowest, bound + 1);
    }
    EXPECT_GT(*std::ranges::min_element(pushed), 10) << "nobody waits for ever";
  }
}

TEST(AsynchronousShard, WhoeverHasNoMoreBatchesHoldsUpNobody) {
  Table table({.workers = 2, .asynchronous = true, .max_staleness = 0});
  table.begin({0});
  table.open(0, 5, 2);
  ASSERT_TRUE(table.push(0, {1}));
  EXPECT_TRUE(table.answered().empty());
  EXPECT_EQ(table.shard().awaited(), std::vector<int>{1});
  ASSERT_TRUE(table.say(1, {.kind = Kind::kIdle}));
  EXPECT_EQ(table.answered(), std::vector<int>{0});
}

TEST(Shard, KeepsItsPartForTheNextMembershipAndTellsWhatIsDoneBeyondTheStepThatAllHave) {
  Table table({.workers = 1, .asynchronous = true});
  table.begin({10});
  table.open(0, 5, 1);
  ASSERT_TRUE(table.push(0, {1}));
  ASSERT_EQ(table.answered().size(), 1U);
  ShardOptions options{.workers = 2, .asynchronous = true};
  options.make_optimizer = [](std::int64_t count) { return learning::make_optimizer(sgd(1), count); };
  Shard next(options, table.state());
  const ShardMessage begin{.kind = Kind::kBegin, .flags = ShardMessage::kKept, .step = 0, .total = 1};
  ASSERT_TRUE(next.check(0, begin));
  ASSERT_TRUE(next.take(0, begin, {}));
  const auto reply = next.next_reply();
  ASSERT_TRUE(reply);
  ASSERT_EQ(reply->body.size(), sizeof(ShardDone));
  EXPECT_EQ(reply->head.step, 0);
  ShardDone done;
  std::memcpy(&done, reply->body.data(), sizeof done);
  EXPECT_EQ(done.step, 0);
  EXPECT_EQ(done.examples, 1);
}

TEST(Shard, AnotherProcessThanInTheMembershipBeforeSaysThatItsPartIsLost) {
  Table table({.shard = 1, .shards = 2, .workers = 1});
  const Status said =
      table.say(0, {.kind = Kind::kBegin, .flags = ShardMessage::kKept, .step = 7, .total = 10});
  ASSERT_FALSE(said);
  EXPECT_EQ(said.error().code, Code::kUnavailable);
  EXPECT_NE(said.error().message.find("parameter server 1 has lost its part"), std::string::npos);
}

TEST(Shard, RefusesWhatAWorkerMayNotSay) {
  struct Case {
    const char* name;
    int worker;
    ShardMessage head;
    std::size_t floats;
  };
  const Case before[] = {
      {"a push before the beginning", 0, {.kind = Kind::kPush, .total = 1}, 2},
      {"a beginning by another than rank 0", 1, {.kind = Kind::kBegin, .total = 2}, 2},
      {"fewer parameters than servers", 0, {.kind = Kind::kBegin, .total = 0}, 0},
      {"too many of them", 0, {.kind = Kind::kBegin, .total = std::int64_t{1} << 50}, 2},
      {"a part of another length", 0, {.kind = Kind::kBegin, .total = 2}, 3},
      {"a step below 0", 0, {.kind = Kind::kBegin, .step = -1, .total = 2}, 2},
  };
  for (const Case& one : before) {
    Table table({.workers = 2, .asynchronous = true});
    EXPECT_FALSE(table.say(one.worker, one.head, Floats(one.floats))) << one.name;
  }
  const Case after[] = {
      {"another beginning", 0, {.kind = Kind::kBegin, .total = 2}, 2},
      {"a gradient of another length", 0, {.kind = Kind::kPush, .step = 1, .total = 1}, 3},
      {"an update outside the segment", 0, {.kind = Kind::kPush, .step = 9, .total = 1}, 2},
      {"more examples than there are", 0, {.kind = Kind::kPush, .step = 1, .examples = 2, .total = 1}, 2},
      {"more than can be counted",
       0,
       {.kind = Kind::kPush, .step = 1, .examples = 1, .total = kCountMax + 1},
       2},
      {"fewer odd elements than none", 0, {.kind = Kind::kPush, .step = 1, .total = 1, .not_finite = -1}, 2},
      {"a segment by another than rank 0", 1, {.kind = Kind::kSegment, .step = 5, .total = 9}, 0},
      {"a segment that ends before it begins", 0, {.kind = Kind::kSegment, .step = 5, .total = 5}, 0},
      {"the state for another than rank 0", 1, {.kind = Kind::kState}, 0},
      {"an answer", 0, {.kind = Kind::kParameters}, 0},
      {"no kind at all", 0, {.kind = static_cast<Kind>(99)}, 0},
  };
  for (const Case& one : after) {
    Table table({.workers = 2, .asynchronous = true});
    table.begin({1, 2});
    table.open(0, 5, 2);
    EXPECT_FALSE(table.say(one.worker, one.head, Floats(one.floats))) << one.name;
  }
  Table table({.workers = 2});
  table.begin({1});
  ASSERT_TRUE(table.say(0, {.kind = Kind::kPush, .total = 1}, {1}));
  EXPECT_FALSE(table.say(0, {.kind = Kind::kPush, .total = 1}, {1})) << "two at once";
  ASSERT_TRUE(table.say(1, {.kind = Kind::kEnd}));
  EXPECT_FALSE(table.say(1, {.kind = Kind::kPull, .step = -1})) << "after its end";
}

}  // namespace
}  // namespace muster::worker::test
