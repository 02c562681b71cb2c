// tests/aggregator/fed_buff_test.cc: stale updates, in FedBuff and in means that take late ones; draws by
// size
#include "aggregator/strategy/fed_buff.h"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "aggregator/round/cohort.h"
#include "aggregator/strategy/weighted_mean.h"
#include "common/base/random.h"

namespace muster::agg {
namespace {

double staleness_weight(double versions) { return 1 / std::sqrt(1 + versions); }

TEST(FedBuff, AStaleUpdateMakesTheStepSmaller) {
  WeightedMean<double> mean(1);
  const std::vector<double> four{4};
  for (const double versions : {0.0, 1.0, 3.0}) mean.fold(four, 1, staleness_weight(versions));
  EXPECT_NEAR(mean.take()[0], 4 * (1 + 0.70710678118654752 + 0.5) / 3, 1e-12);
}

TEST(FedBuff, MovesByItsLearningRateTimesTheMeanWhateverTheExamples) {
  FedBuff server(2, 0.5);
  const std::vector<float> a{4, 0}, b{0, 8};
  ASSERT_TRUE(server.take({.client = 0, .delta = a, .examples = 1}));
  ASSERT_TRUE(server.take({.client = 1, .delta = b, .examples = 1000, .discount = 0.5}));
  const auto next = server.finish(std::vector<float>{1, 1});
  ASSERT_TRUE(next);
  EXPECT_EQ(*next, (std::vector<float>{2, 2}));
  EXPECT_FALSE(server.finish(std::vector<float>{1, 1})) << "the buffer is empty";
}

TEST(FedBuff, OfFreshUpdatesItIsFedAvgOfUpdatesThatWeighAlike) {
  constexpr std::size_t kParameters = 257;
  Random random(5);
  FedBuff buffered(kParameters, 1);
  auto averaged = make_strategy({.weighting = "Equal"}, kParameters);
  ASSERT_TRUE(averaged);
  std::vector<float> model(kParameters);
  for (std::uint64_t client = 0; client < 9; ++client) {
    std::vector<float> delta(kParameters);
    for (float& value : delta) value = static_cast<float>(random.normal());
    ASSERT_TRUE(buffered.take({.delta = delta, .examples = 1 + client}));
    ASSERT_TRUE((*averaged)->take({.delta = delta, .examples = 1 + client}));
  }
  EXPECT_EQ(*buffered.finish(model), *(*averaged)->finish(model));
}

TEST(FedBuff, RefusesWhatAMeanRefuses) {
  FedBuff server(1, 1);
  const std::vector<float> two{1, 1}, absurd{3e38F};
  EXPECT_FALSE(server.take({.delta = two, .examples = 1}));
  EXPECT_FALSE(server.take({.delta = absurd, .examples = 1}));
  EXPECT_FALSE(server.restore({{"m", {1}}})) << "another strategy's checkpoint";
  EXPECT_TRUE(server.restore({}));
}

TEST(LateUpdates, WeighTheLessTheLaterTheyAre) {
  auto server = make_strategy({}, 1);
  ASSERT_TRUE(server);
  const std::vector<float> one{1}, none{0};
  ASSERT_TRUE((*server)->take({.delta = none, .examples = 10}));
  ASSERT_TRUE((*server)->take({.delta = one, .examples = 40, .discount = staleness_weight(3)}));
  EXPECT_NEAR((*(*server)->finish(none))[0], 20.0 / 30, 1e-7);
}

TEST(Weighting, CopiesCountAsSoManyUpdates) {
  for (const char* weighting : {"Equal", "Examples"}) {
    auto server = make_strategy({.weighting = weighting}, 1);
    ASSERT_TRUE(server);
    const std::vector<float> one{1}, none{0};
    ASSERT_TRUE((*server)->take({.delta = none, .examples = 3}));
    ASSERT_TRUE((*server)->take({.delta = one, .examples = 3, .copies = 3}));
    EXPECT_EQ((*(*server)->finish(none))[0], 0.75F) << weighting;
  }
}

TEST(DrawBySize, DrawsInProportionAndWithReplacement) {
  const std::vector<std::uint64_t> sizes{610, 130, 0, 130, 130};
  const std::vector<ClientId> all{0, 1, 2, 3, 4};
  std::vector<double> drawn(sizes.size());
  constexpr int kRounds = 20'000;
  for (int round = 0; round < kRounds; ++round) {
    const auto cohort = draw_by_size(all, sizes, 2, 42, round, 0);
    std::int64_t draws = 0;
    for (const Drawn& each : cohort) {
      drawn[static_cast<std::size_t>(each.client)] += static_cast<double>(each.copies) / (2 * kRounds);
      draws += each.copies;
    }
    ASSERT_EQ(draws, 2);
  }
  for (std::size_t client = 0; client < sizes.size(); ++client)  // four standard deviations
    EXPECT_NEAR(drawn[client], static_cast<double>(sizes[client]) / 1000, 0.01) << "client " << client;
}

TEST(DrawBySize, IsAFunctionOfTheSet) {
  const std::vector<std::uint64_t> sizes{5, 1, 7, 2, 9};
  EXPECT_EQ(draw_by_size({0, 2, 4}, sizes, 4, 9, 4, 0), draw_by_size({4, 0, 2}, sizes, 4, 9, 4, 0));
  EXPECT_EQ(draw_by_size({1}, sizes, 4, 9, 4, 0), (std::vector<Drawn>{{.client = 1, .copies = 4}}));
  EXPECT_EQ(draw_by_size({0, 1}, std::vector<std::uint64_t>{0, 0}, 2, 9, 4, 0).size(), 2U);
}

}  // namespace
}  // namespace muster::agg
