// tests/worker/train_time_test.cc: what the train loop tells about time, by clocks of the test
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <future>

#include "tests/worker/run_alone.h"
#include "worker/engine/patience.h"
#include "worker/engine/rate.h"

namespace muster::worker::test {
namespace {

struct TimedTask : QuadraticModel {  // a second a gradient, a minute an evaluation
  explicit TimedTask(Instant& now) : QuadraticModel(kParameters), clock(now) {}
  [[nodiscard]] std::vector<float> initial_parameters(std::uint64_t seed) const override {
    clock += std::chrono::hours(1);
    return QuadraticModel::initial_parameters(seed);
  }
  double gradient(std::span<const float> parameters, const learning::Examples& examples,
                  std::span<const std::int64_t> rows, std::span<float> out) override {
    clock += std::chrono::seconds(1);
    return QuadraticModel::gradient(parameters, examples, rows, out);
  }
  learning::Evaluation evaluate(std::span<const float> parameters,
                                const learning::Examples& examples) override {
    clock += std::chrono::minutes(1);
    return QuadraticModel::evaluate(parameters, examples);
  }
  Instant& clock;
};

TEST(TrainTime, TheRateDoesNotCountTheWaitForOtherRanks) {
  Instant clock{};
  TimedTask model(clock);
  double rate = 0;
  TrainLoop::Hooks hooks;
  hooks.now = [&] { return clock; };
  hooks.progress = [&](const Progress& progress, const History&) { rate = progress.examples_per_second; };
  ASSERT_TRUE(run_alone(training(5, 1), dataset(50, 9), model, hooks));
  EXPECT_NEAR(rate, 5, 1e-9);
}

TEST(TrainTime, TellsWhatItsTimeWasSpentOn) {
  Instant clock{};
  TimedTask model(clock);
  Progress last;
  TrainLoop::Hooks hooks;
  hooks.now = [&] { return clock; };
  hooks.progress = [&](const Progress& progress, const History&) { last = progress; };
  ASSERT_TRUE(run_alone(training(5, 2), dataset(50, 9), model, hooks));
  EXPECT_THAT(last.seconds, testing::ElementsAre(20, 0, 0, 120, 0));  // in the order of kActivities
  EXPECT_EQ(last.trained_seconds, 20) << "what the steps took";
}

TEST(TrainTime, TheTimeOfStepsThatARestartLosesDoesNotCount) {
  Instant clock{};
  TimedTask model(clock);
  spec::Training spec = training(5, 2);
  spec.checkpoint = spec::Checkpoint{.path = "unused", .every_steps = 8, .keep = 1};
  std::vector<learning::TrainingState> saved;
  TrainLoop::Hooks hooks;
  hooks.now = [&] { return clock; };
  const auto save = [&](const learning::TrainingState& state) -> Status {
    saved.push_back(state);
    return {};
  };
  ASSERT_TRUE(run_alone(spec, dataset(50, 9), model, hooks, save));
  ASSERT_FALSE(saved.empty());
  EXPECT_EQ(saved[0].step, 8);
  EXPECT_EQ(saved[0].trained_seconds, 8);
  const auto resumed = run_alone(spec, dataset(50, 9), model, hooks, save, saved[0]);
  ASSERT_TRUE(resumed);
  EXPECT_EQ(resumed->state.trained_seconds, 20);
}

// The ranks' clocks: one of three takes four times as long for a gradient.
TEST(TrainTime, AllRanksKnowTheSlowestOne) {
  const int size = 3;
  auto group = collectives(memory_mesh(size, 1));
  std::array<std::optional<Slowest>, 3> slowest;
  const spec::Training spec = training(1, 6);
  const auto data = dataset(50, 9);
  on_all_ranks(size, [&](int rank) {
    const auto index = static_cast<std::size_t>(rank);
    Instant clock{};
    struct SlowTask : QuadraticModel {
      SlowTask(Instant& now, std::chrono::milliseconds time)
          : QuadraticModel(kParameters), clock(now), takes(time) {}
      double gradient(std::span<const float> parameters, const learning::Examples& examples,
                      std::span<const std::int64_t> rows, std::span<float> out) override {
        clock += takes;
        return QuadraticModel::gradient(parameters, examples, rows, out);
      }
      Instant& clock;
      std::chrono::milliseconds takes;
    } model(clock, std::chrono::milliseconds(rank == 1 ? 40 : 10));
    auto optimizer = learning::make_optimizer(spec.optimizer, kParameters);
    const auto gradient_sum = dense_sum(*group[index], {});
    DataParallel parallel({*group[index], *gradient_sum, *optimizer}, std::chrono::seconds(30));
    TrainLoop::Hooks hooks;
    hooks.now = [&] { return clock; };
    hooks.progress = [&](const Progress& progress, const History&) { slowest[index] = progress.slowest; };
    TrainLoop loop({.collective = *group[index],
                    .model = model,
                    .synchronizer = parallel,
                    .training = spec,
                    .data = data},
                   {.timeout = std::chrono::seconds(30), .start_timeout = std::chrono::seconds(30)}, hooks);
    EXPECT_TRUE(loop.run({}));
  });
  for (std::size_t rank = 0; rank < slowest.size(); ++rank) {
    ASSERT_TRUE(slowest[rank]) << rank;
    EXPECT_EQ(slowest[rank]->rank, 1);
    EXPECT_NEAR(slowest[rank]->slowdown, 4, 1e-5);
    EXPECT_NEAR(slowest[rank]->mine, rank == 1 ? 4 : 1, 0.1) << "the last batch has no example for one";
  }
}
TEST(Patience, IsTenTimesTheLongestOfTheLastStepsWithinItsBounds) {
  using std::chrono::seconds;
  Patience patience(seconds(5), seconds(60));
  for (std::size_t i = 0; i + 1 < Patience::kLeastSteps; ++i) {
    patience.took(std::chrono::milliseconds(10));
    EXPECT_EQ(patience.limit(), seconds(60)) << "it has seen " << i + 1;
  }
  patience.took(std::chrono::milliseconds(10));
  EXPECT_EQ(patience.limit(), seconds(5));
  patience.took(seconds(2));
  EXPECT_EQ(patience.limit(), seconds(20));
  for (std::size_t i = 1; i < Patience::kSteps; ++i) patience.took(std::chrono::milliseconds(10));
  EXPECT_EQ(patience.limit(), seconds(20));
  patience.took(std::chrono::milliseconds(10));
  EXPECT_EQ(patience.limit(), seconds(5)) << "it is forgotten";
  patience.took(seconds(9));
  EXPECT_EQ(patience.limit(), seconds(60));
  EXPECT_EQ(Patience(seconds(5), seconds(1)).limit(), seconds(1));
}

// The other ranks name it long before the time of a call is over, though its process gives signs of life.
TEST(TrainTime, ARankThatHangsInItsGradientIsMissedByWhatStepsTook) {
  constexpr int kRanks = 3;
  auto group = collectives(tcp_mesh(kRanks, Wires::kMemory));
  const spec::Training spec = training(2, 10);
  const auto data = dataset(60, 0);
  std::promise<void> over;
  const std::shared_future<void> until_over = over.get_future().share();
  std::atomic<int> failed = 0;
  on_all_ranks(kRanks, [&](int rank) {
    struct HangingTask : QuadraticModel {
      HangingTask(std::shared_future<void> until_over, bool hangs)
          : QuadraticModel(kParameters), until(std::move(until_over)), hangs_at(hangs ? 25 : -1) {}
      double gradient(std::span<const float> parameters, const learning::Examples& examples,
                      std::span<const std::int64_t> rows, std::span<float> out) override {
        if (calls++ == hangs_at) until.wait();
        return QuadraticModel::gradient(parameters, examples, rows, out);
      }
      std::shared_future<void> until;
      int hangs_at;
      int calls = 0;
    };
    const auto index = static_cast<std::size_t>(rank);
    HangingTask model(until_over, rank == 1);
    auto optimizer = learning::make_optimizer(spec.optimizer, kParameters);
    const auto gradient_sum = dense_sum(*group[index], {.timeout = std::chrono::minutes(10)});
    DataParallel parallel({*group[index], *gradient_sum, *optimizer}, std::chrono::minutes(10));
    TrainLoop loop({.collective = *group[index],
                    .model = model,
                    .synchronizer = parallel,
                    .training = spec,
                    .data = data},
                   {.timeout = std::chrono::minutes(10), .least_patience = std::chrono::milliseconds(300)},
                   {});
    const auto outcome = loop.run({});
    ASSERT_FALSE(outcome);
    if (rank != 1) {
      EXPECT_THAT(outcome.error().message, testing::HasSubstr("rank 1 (127.0.0.1:"));
      EXPECT_THAT(outcome.error().message, testing::HasSubstr("stands still"));
      group[index]->leave(outcome.error());
    }
    if (++failed == kRanks - 1) over.set_value();
  });
}

TEST(Rate, FollowsAConstantRateAndForgetsAnOldOne) {
  const Instant start{};
  Rate rate(start);
  Instant now = start;
  for (int i = 0; i < 100; ++i) rate.add(50, now += std::chrono::milliseconds(100));
  EXPECT_NEAR(rate.per_second(), 500, 1e-9);
  for (int i = 0; i < 300; ++i) rate.add(10, now += std::chrono::milliseconds(100));
  EXPECT_NEAR(rate.per_second(), 100, 5);
}

}  // namespace
}  // namespace muster::worker::test
