// tests/aggregator/strategy_test.cc: the mean of updates, and what may not enter it
#include "aggregator/strategy/strategy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "common/base/random.h"

namespace muster::agg {
namespace {

std::unique_ptr<Strategy> fed_avg(std::size_t parameters) {
  auto strategy = make_strategy({}, parameters);
  EXPECT_TRUE(strategy);
  return std::move(*strategy);
}

// The step of a round whose model was zero.
std::vector<float> step_of(Strategy& strategy, std::size_t parameters) {
  auto next = strategy.finish(std::vector<float>(parameters));
  EXPECT_TRUE(next);
  return next ? std::move(*next) : std::vector<float>();
}

TEST(FedAvg, WeightsByExamples) {
  auto strategy = fed_avg(2);
  const std::vector<float> a{1.0F, -4.0F};
  const std::vector<float> b{5.0F, 0.0F};
  ASSERT_TRUE(strategy->take({.client = 0, .delta = a, .examples = 30}));
  ASSERT_TRUE(strategy->take({.client = 1, .delta = b, .examples = 10}));
  const std::vector<float> step = step_of(*strategy, 2);
  EXPECT_FLOAT_EQ(step[0], 2.0F);
  EXPECT_FLOAT_EQ(step[1], -3.0F);
}

// The promise of fed_avg.h, in any order of arrival, against the mean in float64; values differ by four
// orders of magnitude and cancel each other.
TEST(FedAvg, IsAsExactAsItPromisesInAnyOrderOfArrival) {
  constexpr std::uint64_t kSeed = 11;
  constexpr std::size_t kParameters = 1000;
  constexpr std::size_t kClients = 40;
  RecordProperty("seed", static_cast<int>(kSeed));
  Random random(kSeed);
  std::vector<std::vector<float>> deltas(kClients, std::vector<float>(kParameters));
  std::vector<double> mean(kParameters);
  std::vector<double> largest(kParameters);
  double examples = 0;
  for (std::size_t c = 0; c < kClients; ++c) {
    examples += static_cast<double>(1 + c * c);
    for (std::size_t i = 0; i < kParameters; ++i) {
      const double value = random.normal() * std::pow(10.0, 4.0 * random.uniform() - 2.0);
      deltas[c][i] = static_cast<float>(value);
      mean[i] += static_cast<double>(1 + c * c) * static_cast<double>(deltas[c][i]);
      largest[i] = std::max(largest[i], std::abs(value));
    }
  }
  for (double& value : mean) value /= examples;
  std::vector<std::size_t> order(kClients);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (int trial = 0; trial < 10; ++trial) {
    std::vector<float> twice;
    for (int run = 0; run < 2; ++run) {
      auto strategy = fed_avg(kParameters);
      for (const std::size_t c : order) {
        ASSERT_TRUE(strategy->take({.delta = deltas[c], .examples = 1 + c * c}));
      }
      const std::vector<float> step = step_of(*strategy, kParameters);
      if (run == 1) {
        EXPECT_EQ(step, twice) << "the same order, other bits";
      }
      twice = step;
    }
    double error = 0;
    double scale = 0;
    for (std::size_t i = 0; i < kParameters; ++i) {
      const double off = std::abs(static_cast<double>(twice[i]) - mean[i]);
      ASSERT_LE(off, static_cast<double>(kClients) * 0x1.0p-24 * largest[i]) << "parameter " << i;
      error += off * off;
      scale += mean[i] * mean[i];
    }
    EXPECT_LT(std::sqrt(error / scale), std::sqrt(static_cast<double>(kClients)) * 0x1.0p-24);
    random.shuffle(std::span(order));
  }
}

TEST(FedAvg, LargeWeightsAndValuesDoNotOverflow) {
  const std::vector<float> large{-kMoveMax};
  auto strategy = fed_avg(1);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(strategy->take({.delta = large, .examples = kExamplesMax}));
  EXPECT_EQ(step_of(*strategy, 1), large);
}

TEST(FedAvg, AModelThatIsNotFiniteIsAnErrorWithARemedy) {
  auto strategy = fed_avg(1);
  ASSERT_TRUE(strategy->take({.delta = std::vector<float>{1.0F}, .examples = 1}));
  const auto next = strategy->finish(std::vector<float>{std::numeric_limits<float>::infinity()});
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, Code::kDataLoss);
  EXPECT_NE(next.error().message.find("learningRate"), std::string::npos);
}

TEST(FedAvg, ARefusedUpdateLeavesTheAggregateAlone) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> good{1.0F, 2.0F, 3.0F};
  const std::vector<std::pair<std::vector<float>, std::uint64_t>> bad{
      {{1.0F, 2.0F, kNan}, 5},
      {{kInfinity, 0.0F, 0.0F}, 5},
      {{0.0F, -kInfinity, 0.0F}, 5},
      {{0.0F, 3e38F, 0.0F}, 5},
      {{0.0F, 0.0F, std::nextafter(-kMoveMax, -kInfinity)}, 5},
      {{1.0F, 2.0F}, 5},
      {{}, 5},
      {{1.0F, 2.0F, 3.0F, 4.0F}, 5},
      {{9.0F, 9.0F, 9.0F}, 0},
      {{9.0F, 9.0F, 9.0F}, std::numeric_limits<std::uint64_t>::max()}};
  auto strategy = fed_avg(3);
  ASSERT_TRUE(strategy->take({.delta = good, .examples = 4}));
  for (const auto& [delta, examples] : bad) {
    const Status refused = strategy->take({.client = 3, .delta = delta, .examples = examples});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_NE(refused.error().message.find("client 3"), std::string::npos);
  }
  EXPECT_EQ(step_of(*strategy, 3), good);
}

TEST(FedAvg, HasNothingToSayWithoutUpdates) {
  auto strategy = fed_avg(2);
  const auto finished = strategy->finish(std::vector<float>{7.0F, 8.0F});
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().code, Code::kFailedPrecondition);
}

TEST(Strategy, NamesTheOneItDoesNotKnow) {
  const auto strategy = make_strategy({.name = "Average"}, 2);
  ASSERT_FALSE(strategy);
  EXPECT_NE(strategy.error().message.find("Average"), std::string::npos);
}

}  // namespace
}  // namespace muster::agg
