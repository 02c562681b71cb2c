// tests/aggregator/robust_test.cc: median, trimmed mean and Krum: their closed forms, any order of arrival,
// and clients that lie
#include "aggregator/strategy/robust.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "aggregator/strategy/coordinate_wise.h"
#include "aggregator/strategy/krum.h"
#include "common/base/random.h"
#include "tests/support/memory_shelf.h"

namespace muster::agg {
namespace {

std::unique_ptr<Strategy> made(const spec::Strategy& spec, std::size_t parameters, std::size_t room = 1000) {
  auto strategy = make_strategy(spec, parameters, std::make_unique<MemoryShelf>(room));
  EXPECT_TRUE(strategy) << spec.name;
  return std::move(*strategy);
}

const std::vector<spec::Strategy>& robust() {
  static const std::vector<spec::Strategy> kAll{
      {.name = "Median"},
      {.name = "TrimmedMean", .trim_fraction = 0.2},
      {.name = "Krum", .byzantine_clients = 2},
      {.name = "Krum", .byzantine_clients = 2, .averaged_updates = 4}};
  return kAll;
}

TEST(Median, IsTheMiddleOfEachParameter) {
  const std::vector<double> updates{3, 10, -1, 20, 2, 0, 100, 30, 1e9};  // [3, 3]
  std::vector<double> median(3);
  coordinate_median<double>(updates, 3, median);
  EXPECT_EQ(median, (std::vector<double>{20, 10, 0}));
  coordinate_median<double>(std::span(updates).first(6), 2, median);
  EXPECT_EQ(median, (std::vector<double>{11.5, 6, -0.5}));
}

TEST(TrimmedMean, IsTheMeanOfWhatIsLeft) {
  const std::vector<double> updates{7, -100, 1, 2, 1e9};  // [5, 1]
  std::vector<double> mean(1);
  trimmed_mean<double>(updates, 5, 1, mean);
  EXPECT_NEAR(mean[0], 10.0 / 3, 1e-9);
  trimmed_mean<double>(updates, 5, 2, mean);
  EXPECT_NEAR(mean[0], 2, 1e-9);
  trimmed_mean<double>(std::span(updates).first(4), 4, 0, mean);
  EXPECT_NEAR(mean[0], -22.5, 1e-9);
}

TEST(TrimmedMean, CutsOffTheFloorOfItsShare) {
  EXPECT_EQ(trimmed_count(0.1, 9), 0U);
  EXPECT_EQ(trimmed_count(0.1, 10), 1U);
  EXPECT_EQ(trimmed_count(0.29, 100), 29U);  // below 29 in binary
  EXPECT_EQ(trimmed_count(0.499, 1000), 499U);
}

// Closed form: f = 2, the first of seven is chosen.
TEST(Krum, HasTheScoresOfItsPaper) {
  const std::vector<double> updates{1, 2, 1.2, 1.9, .8, 2.3, 1.1, 2.1, .9, 1.7, 5, -3, 5.1, -3.2};
  const auto scores = krum_scores<double>(updates, 7, 2);
  const std::array<double, 7> expected{.17, .23, .58, .2, .43, 77.4, 82.92};
  for (std::size_t i = 0; i < 7; ++i) EXPECT_NEAR(scores[i], expected[i], 1e-9) << i;
  const std::array<std::int32_t, 7> clients{10, 11, 12, 13, 14, 15, 16};
  EXPECT_EQ(krum_choice(scores, clients, 1), (std::vector<std::size_t>{0}));
  EXPECT_EQ(krum_choice(scores, clients, 3), (std::vector<std::size_t>{0, 3, 1}));
}

TEST(Krum, OfEqualScoresTheClientWithTheSmallerNumberIsTaken) {
  const std::array<double, 3> scores{1, 0.5, 0.5};
  EXPECT_EQ(krum_choice(scores, std::array<std::int32_t, 3>{1, 9, 4}, 2), (std::vector<std::size_t>{2, 1}));
}

TEST(Krum, TakesDistancesOverAllParameters) {  // more than a block of them, and a rest
  constexpr std::size_t kParameters = 5003;
  std::vector<float> updates(3 * kParameters);
  for (std::size_t i = 0; i < kParameters; ++i) {
    updates[kParameters + i] = 1;
    updates[2 * kParameters + i] = 3;
  }
  const auto scores = krum_scores<float>(updates, 3, 0);  // one neighbour counts
  EXPECT_EQ(scores, (std::vector<double>{kParameters, kParameters, 4 * kParameters}));
}

TEST(Robust, GivesTheSameBitsInAnyOrderOfArrival) {
  constexpr std::uint64_t kSeed = 5;
  constexpr std::size_t kParameters = 700;
  RecordProperty("seed", static_cast<int>(kSeed));
  Random random(kSeed);
  std::vector<std::vector<float>> deltas(11, std::vector<float>(kParameters));
  for (auto& delta : deltas)
    for (float& value : delta) value = static_cast<float>(random.normal());
  std::vector<std::int32_t> order(deltas.size());
  std::iota(order.begin(), order.end(), 0);
  for (const spec::Strategy& spec : robust()) {
    const auto strategy = made(spec, kParameters);  // one for all rounds
    std::vector<float> first;
    for (int round = 0; round < 5; ++round) {
      for (const std::int32_t client : order)
        ASSERT_TRUE(strategy->take(
            {.client = client, .delta = deltas[static_cast<std::size_t>(client)], .examples = 1}));
      const auto next = strategy->finish(std::vector<float>(kParameters, 0.25F));
      ASSERT_TRUE(next) << next.error().message;
      if (round == 0) first = *next;
      EXPECT_EQ(*next, first) << spec.name;
      random.shuffle(std::span(order));
    }
  }
}

// Nine honest clients move each weight by about 1, two send what they like, and claim to have seen
// everything.
TEST(Robust, ClientsThatLieDoNotMoveTheModelFar) {
  constexpr std::size_t kParameters = 50;
  constexpr std::uint64_t kSeed = 8;
  RecordProperty("seed", static_cast<int>(kSeed));
  for (const float lie : {-kMoveMax, 1e4F, -1.0F}) {
    for (const spec::Strategy& spec : robust()) {
      Random random(kSeed);
      const auto strategy = made(spec, kParameters);
      for (std::int32_t client = 0; client < 11; ++client) {
        std::vector<float> delta(kParameters, lie);
        if (client >= 2)
          for (float& value : delta) value = static_cast<float>(1 + 0.1 * random.normal());
        ASSERT_TRUE(
            strategy->take({.client = client, .delta = delta, .examples = client < 2 ? kExamplesMax : 1}));
      }
      const auto next = strategy->finish(std::vector<float>(kParameters));
      ASSERT_TRUE(next);
      for (const float value : *next) ASSERT_NEAR(value, 1, 0.5) << spec.name << ", lie " << lie;
    }
  }
}

TEST(Robust, RefusesWhatTheMeanRefusesAndIsLeftAlone) {
  const std::vector<float> nan{1.0F, std::numeric_limits<float>::quiet_NaN()};
  for (const spec::Strategy& spec : robust()) {
    const auto strategy = made(spec, 2);
    for (std::int32_t client = 0; client < 9; ++client) {
      ASSERT_TRUE(strategy->take({.client = client, .delta = std::vector<float>{1.0F, 2.0F}, .examples = 1}));
      EXPECT_EQ(strategy->take({.client = client, .delta = nan, .examples = 1}).error().code,
                Code::kInvalidArgument);
      EXPECT_FALSE(strategy->take({.client = client, .delta = std::vector<float>{1.0F}, .examples = 1}));
    }
    EXPECT_EQ(*strategy->finish(std::vector<float>{1, 1}), (std::vector<float>{2, 3})) << spec.name;
  }
}

TEST(Robust, FewerUpdatesThanItNeedsMakeNoModel) {
  const std::vector<std::int64_t> needed{3, 5, 7, 8};
  for (std::size_t i = 0; i < robust().size(); ++i) {
    EXPECT_EQ(spec::needs_of(robust()[i]).updates_min, needed[i]);
    const auto strategy = made(robust()[i], 1);
    for (std::int64_t client = 1; client < needed[i]; ++client)
      ASSERT_TRUE(strategy->take({.delta = std::vector<float>{1.0F}, .examples = 1}));
    const auto refused = strategy->finish(std::vector<float>{0});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
    ASSERT_TRUE(strategy->take({.client = 9, .delta = std::vector<float>{1.0F}, .examples = 1}));
    EXPECT_TRUE(strategy->finish(std::vector<float>{0}));
  }
}

TEST(Robust, AFullDiskIsNotTheClientsFault) {
  const auto strategy = made({.name = "Median"}, 1, 1);
  ASSERT_TRUE(strategy->take({.delta = std::vector<float>{1.0F}, .examples = 1}));
  const Status full = strategy->take({.delta = std::vector<float>{1.0F}, .examples = 1});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::kResourceExhausted);
}

TEST(Robust, NeedsAShelf) {
  for (const spec::Strategy& spec : robust()) EXPECT_FALSE(make_strategy(spec, 1)) << spec.name;
}

}  // namespace
}  // namespace muster::agg
