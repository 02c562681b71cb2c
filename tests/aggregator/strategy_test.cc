// tests/aggregator/strategy_test.cc: the mean of updates, and what may not enter it
#include "aggregator/strategy/strategy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "common/base/random.h"

namespace muster::agg {
namespace {

std::unique_ptr<Strategy> fed_avg(std::size_t parameters) {
  auto strategy = make_strategy("FedAvg", parameters);
  EXPECT_TRUE(strategy);
  return std::move(*strategy);
}

TEST(FedAvg, WeightsByExamples) {
  auto strategy = fed_avg(2);
  const std::vector<float> a{1.0F, -4.0F};
  const std::vector<float> b{5.0F, 0.0F};
  ASSERT_TRUE(strategy->accumulate({.client = 0, .delta = a, .examples = 30}));
  ASSERT_TRUE(strategy->accumulate({.client = 1, .delta = b, .examples = 10}));
  std::vector<float> step(2);
  ASSERT_TRUE(std::move(*strategy).finish(step));
  EXPECT_FLOAT_EQ(step[0], 2.0F);
  EXPECT_FLOAT_EQ(step[1], -3.0F);
}

TEST(FedAvg, DoesNotDependOnTheOrderOfArrival) {
  constexpr std::uint64_t kSeed = 11;
  constexpr std::size_t kParameters = 1000;
  constexpr std::size_t kClients = 40;
  RecordProperty("seed", static_cast<int>(kSeed));
  Random random(kSeed);
  std::vector<std::vector<float>> deltas(kClients, std::vector<float>(kParameters));
  for (auto& delta : deltas) {
    for (float& value : delta)
      value = static_cast<float>(random.normal() * std::pow(10.0, 4.0 * random.uniform() - 2.0));
  }
  std::vector<std::size_t> order(kClients);
  for (std::size_t i = 0; i < kClients; ++i) order[i] = i;
  std::vector<float> first;
  for (int trial = 0; trial < 10; ++trial) {
    auto strategy = fed_avg(kParameters);
    for (const std::size_t i : order) {
      ASSERT_TRUE(strategy->accumulate({.delta = deltas[i], .examples = 1 + i * i}));
    }
    std::vector<float> step(kParameters);
    ASSERT_TRUE(std::move(*strategy).finish(step));
    if (first.empty()) first = step;
    for (std::size_t i = 0; i < kParameters; ++i)
      ASSERT_NEAR(step[i], first[i], 1e-6 * std::abs(first[i]) + 1e-9);
    random.shuffle(std::span(order));
  }
}

TEST(FedAvg, ARefusedUpdateLeavesTheAggregateAlone) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> good{1.0F, 2.0F, 3.0F};
  const std::vector<std::pair<std::vector<float>, std::uint64_t>> bad{
      {{1.0F, 2.0F, kNan}, 5},
      {{kInfinity, 0.0F, 0.0F}, 5},
      {{0.0F, -kInfinity, 0.0F}, 5},
      {{1.0F, 2.0F}, 5},
      {{}, 5},
      {{1.0F, 2.0F, 3.0F, 4.0F}, 5},
      {{9.0F, 9.0F, 9.0F}, 0},
      {{9.0F, 9.0F, 9.0F}, std::numeric_limits<std::uint64_t>::max()}};
  auto strategy = fed_avg(3);
  ASSERT_TRUE(strategy->accumulate({.delta = good, .examples = 4}));
  for (const auto& [delta, examples] : bad) {
    const Status refused = strategy->accumulate({.client = 3, .delta = delta, .examples = examples});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_NE(refused.error().message.find("client 3"), std::string::npos);
  }
  std::vector<float> step(3);
  ASSERT_TRUE(std::move(*strategy).finish(step));
  EXPECT_EQ(step, good);
}

TEST(FedAvg, HasNothingToSayWithoutUpdates) {
  auto strategy = fed_avg(2);
  std::vector<float> step{7.0F, 8.0F};
  const Status finished = std::move(*strategy).finish(step);
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().code, Code::kFailedPrecondition);
  EXPECT_EQ(step, (std::vector<float>{7.0F, 8.0F}));
}

TEST(Strategy, NamesTheOneItDoesNotKnow) {
  const auto strategy = make_strategy("Average", 2);
  ASSERT_FALSE(strategy);
  EXPECT_NE(strategy.error().message.find("Average"), std::string::npos);
}

}  // namespace
}  // namespace muster::agg
