// tests/kube/work_queue_test.cc: deduplication, delays, backoff
#include "kube/work_queue.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "kube/metrics.h"

namespace muster::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class TestClock final : public Clock {
 public:
  Instant now() const override { return now_; }
  WallTime wall() const override { return {}; }
  Instant now_{std::chrono::hours(1)};
};

class WorkQueueTest : public ::testing::Test {
 protected:
  TestClock clock_;
  WorkQueue queue_{WorkQueue::Options{.clock = &clock_}};
  std::stop_token never_;
};

TEST_F(WorkQueueTest, AKeyWaitsOnceHoweverOftenItIsAdded) {
  queue_.add("a");
  queue_.add("b");
  queue_.add("a");
  EXPECT_EQ(queue_.depth(), 2U);
  EXPECT_EQ(queue_.take(never_), "a");
  EXPECT_EQ(queue_.take(never_), "b");
}

TEST_F(WorkQueueTest, AKeyAddedWhileInWorkRunsOnceMoreAfterIt) {
  queue_.add("a");
  EXPECT_EQ(queue_.take(never_), "a");
  queue_.add("a");
  queue_.add("a");
  EXPECT_EQ(queue_.depth(), 0U);  // never in two workers
  queue_.done("a");
  EXPECT_EQ(queue_.depth(), 1U);
  EXPECT_EQ(queue_.take(never_), "a");
  queue_.done("a");
  EXPECT_EQ(queue_.depth(), 0U);
}

TEST_F(WorkQueueTest, OfABurstTheFirstIsAtOnceAndTheOthersAreGathered) {
  int passes = 0;
  for (int ms = 0; ms < 1000; ++ms) {  // four events a millisecond; a pass takes one
    for (int i = 0; i < 4; ++i) queue_.add_gathered("a");
    queue_.advance();
    if (queue_.depth() > 0) {
      ASSERT_EQ(queue_.take(never_), "a");
      ++passes;
      EXPECT_TRUE(passes > 1 || ms == 0);
      queue_.add_gathered("a");
      clock_.now_ += milliseconds(1);
      queue_.done("a", milliseconds(20));
    } else {
      clock_.now_ += milliseconds(1);
    }
  }
  EXPECT_GE(passes, 40);
  EXPECT_LE(passes, 50);
}

TEST_F(WorkQueueTest, TheLastOfABurstIsNotLost) {
  queue_.add_gathered("a");
  ASSERT_TRUE(queue_.take(never_));
  queue_.add_gathered("a");
  queue_.done("a", milliseconds(20));
  queue_.add_gathered("a");
  EXPECT_EQ(queue_.depth(), 0U);
  clock_.now_ += milliseconds(20);
  EXPECT_EQ(queue_.advance(), std::nullopt);
  EXPECT_EQ(queue_.depth(), 1U);
}

TEST_F(WorkQueueTest, GatheringHoldsUpNoOtherKeyAndNoOtherKindOfNews) {
  queue_.add_gathered("a");
  ASSERT_TRUE(queue_.take(never_));
  queue_.add_gathered("a");
  queue_.done("a", milliseconds(20));
  queue_.add_gathered("b");
  EXPECT_EQ(queue_.depth(), 1U);
  queue_.add("a");
  EXPECT_EQ(queue_.depth(), 2U);
}

TEST_F(WorkQueueTest, AfterThePauseTheFirstIsAtOnceAgain) {
  for (int i = 0; i < 3; ++i) {
    queue_.add_gathered("a");
    ASSERT_EQ(queue_.depth(), 1U);
    ASSERT_TRUE(queue_.take(never_));
    queue_.done("a", milliseconds(20));
    clock_.now_ += milliseconds(20);
  }
}

TEST_F(WorkQueueTest, TheEarliestOfSeveralDelaysWins) {
  queue_.add_after("a", seconds(10));
  queue_.add_after("a", seconds(3));
  queue_.add_after("a", seconds(5));
  clock_.now_ += milliseconds(2999);
  queue_.advance();
  EXPECT_EQ(queue_.depth(), 0U);
  clock_.now_ += milliseconds(1);
  EXPECT_EQ(queue_.advance(), std::nullopt);
  EXPECT_EQ(queue_.depth(), 1U);
}

TEST_F(WorkQueueTest, FailuresDoubleTheDelayUpToTheLimitUntilForgotten) {
  EXPECT_EQ(queue_.add_rate_limited("a"), milliseconds(5));
  EXPECT_EQ(queue_.add_rate_limited("a"), milliseconds(10));
  EXPECT_EQ(queue_.add_rate_limited("b"), milliseconds(5));
  for (int i = 0; i < 80; ++i) static_cast<void>(queue_.add_rate_limited("a"));
  EXPECT_EQ(queue_.add_rate_limited("a"), milliseconds(60'000));
  queue_.forget("a");
  EXPECT_EQ(queue_.failures("a"), 0);
  EXPECT_EQ(queue_.add_rate_limited("a"), milliseconds(5));
}

TEST_F(WorkQueueTest, UnfinishedWorkGrowsWithTime) {
  queue_.add("a");
  ASSERT_TRUE(queue_.take(never_));
  clock_.now_ += seconds(4);
  EXPECT_DOUBLE_EQ(queue_.unfinished().longest_seconds, 4.0);
}

TEST(WorkQueue, WakesAWorkerWhenADelayIsOver) {
  WorkQueue queue;
  auto taken = std::async(std::launch::async, [&] { return queue.take(std::stop_token()); });
  queue.add_after("late", milliseconds(30'000));
  queue.add_after("soon", milliseconds(10));
  ASSERT_EQ(taken.wait_for(seconds(10)), std::future_status::ready);
  EXPECT_EQ(taken.get(), "soon");
}

TEST(WorkQueue, ShutDownReleasesEveryWorker) {
  WorkQueue queue;
  auto first = std::async(std::launch::async, [&] { return queue.take(std::stop_token()); });
  auto second = std::async(std::launch::async, [&] { return queue.take(std::stop_token()); });
  queue.shut_down();
  EXPECT_EQ(first.get(), std::nullopt);
  EXPECT_EQ(second.get(), std::nullopt);
  queue.add("a");
  EXPECT_EQ(queue.depth(), 0U);
}

TEST(WorkQueue, ManyWorkersRunEachKeyAloneAndLoseNone) {
  WorkQueue queue;
  std::mutex mutex;
  std::map<std::string, int> running;
  std::map<std::string, int> runs;
  bool overlap = false;
  std::vector<std::jthread> workers;
  workers.reserve(4);
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&](const std::stop_token& stop) {
      while (const auto key = queue.take(stop)) {
        {
          const std::lock_guard lock(mutex);
          overlap = overlap || ++running[*key] > 1;
          ++runs[*key];
        }
        {
          const std::lock_guard lock(mutex);
          --running[*key];
        }
        queue.done(*key);
      }
    });
  }
  for (int i = 0; i < 5000; ++i) queue.add("k" + std::to_string(i % 7));
  const auto limit = std::chrono::steady_clock::now() + seconds(10);
  while (queue.depth() > 0 && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  workers.clear();
  EXPECT_FALSE(overlap);
  EXPECT_EQ(runs.size(), 7U);
}

TEST(QueueMetrics, HaveTheNamesOfControllerRuntime) {
  prometheus::Registry registry;
  QueueMetrics metrics(registry, "distributedjob");
  WorkQueue queue(WorkQueue::Options{.observer = &metrics});
  queue.add("a");
  ASSERT_TRUE(queue.take(std::stop_token()));
  metrics.sample(queue);
  std::map<std::string, double> values;
  for (const auto& family : registry.Collect()) {
    for (const auto& metric : family.metric) {
      ASSERT_EQ(metric.label.size(), 2U) << family.name;
      values[family.name] =
          family.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value;
    }
  }
  for (const char* name :
       {"workqueue_depth", "workqueue_adds_total", "workqueue_queue_duration_seconds",
        "workqueue_work_duration_seconds", "workqueue_retries_total", "workqueue_unfinished_work_seconds",
        "workqueue_longest_running_processor_seconds"}) {
    EXPECT_TRUE(values.contains(name)) << name;
  }
  EXPECT_EQ(values["workqueue_adds_total"], 1);
}

}  // namespace
}  // namespace muster::kube
