// tests/aggregator/fed_opt_test.cc: the server optimizers as strategies: what they remember, and that it may
// be written and read back between any two rounds
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "aggregator/strategy/strategy.h"
#include "common/base/random.h"

namespace muster::agg {
namespace {

using State = std::vector<learning::OptimizerState::Slot>;

constexpr std::size_t kParameters = 257;

std::vector<spec::Strategy> server_steps() {
  return {{.name = "FedAvg"},
          {.name = "FedAvgM", .learning_rate = 0.5},
          {.name = "Nesterov", .learning_rate = 0.7},
          {.name = "FedAdam", .learning_rate = 0.1},
          {.name = "FedYogi", .learning_rate = 0.1},
          {.name = "FedAdagrad", .learning_rate = 0.1}};
}

std::unique_ptr<Strategy> made(const spec::Strategy& spec) {
  auto strategy = make_strategy(spec, kParameters);
  EXPECT_TRUE(strategy) << spec.name;
  return std::move(*strategy);
}

State copy_of(const Strategy& strategy) {
  State state;
  for (const auto& slot : strategy.state())
    state.push_back({slot.name, {slot.values.begin(), slot.values.end()}});
  return state;
}

// The updates of a round are a function of its number.
std::vector<float> play_round(Strategy& strategy, std::uint64_t round, const std::vector<float>& model) {
  Random random(round);
  for (std::uint64_t client = 0; client < 3; ++client) {
    std::vector<float> delta(kParameters);
    for (float& value : delta) value = static_cast<float>(random.normal());
    EXPECT_TRUE(strategy.take({.delta = delta, .examples = 1 + client}));
  }
  const auto next = strategy.finish(model);
  EXPECT_TRUE(next);
  return next ? *next : model;
}

TEST(FedOpt, GoesOnWithTheSameBitsWhereverItsProcessEnded) {
  for (const spec::Strategy& spec : server_steps()) {
    const auto uninterrupted = made(spec);
    std::vector<float> expected(kParameters);
    std::vector<float> model(kParameters);
    State kept;
    for (std::uint64_t round = 1; round <= 6; ++round) {
      expected = play_round(*uninterrupted, round, expected);
      const auto restarted = made(spec);  // another process each round
      if (round > 1) {
        ASSERT_TRUE(restarted->restore(kept)) << spec.name;
      }
      model = play_round(*restarted, round, model);
      kept = copy_of(*restarted);
      ASSERT_EQ(model, expected) << spec.name << ", round " << round;
    }
    EXPECT_EQ(kept, copy_of(*uninterrupted)) << spec.name;
  }
}

TEST(FedOpt, RemembersAsManyModelsAsItSays) {
  const std::vector<std::size_t> models{0, 1, 1, 2, 2, 2};
  for (std::size_t i = 0; i < models.size(); ++i) {
    const auto strategy = made(server_steps()[i]);
    EXPECT_TRUE(strategy->state().empty()) << "before the first round";
    static_cast<void>(play_round(*strategy, 1, std::vector<float>(kParameters)));
    EXPECT_EQ(strategy->state().size(), models[i]) << server_steps()[i].name;
  }
}

TEST(FedOpt, ARoundThatCameToNothingLeavesNoTrace) {
  for (const spec::Strategy& spec : server_steps()) {
    const auto strategy = made(spec);
    const auto undisturbed = made(spec);
    const std::vector<float> zero(kParameters);
    const std::vector<float> model = play_round(*strategy, 1, zero);
    ASSERT_EQ(model, play_round(*undisturbed, 1, zero));
    ASSERT_TRUE(strategy->take({.delta = std::vector<float>(kParameters, 9.0F), .examples = 99}));
    strategy->discard();
    EXPECT_EQ(play_round(*strategy, 2, model), play_round(*undisturbed, 2, model)) << spec.name;
  }
}

TEST(FedOpt, RefusesTheStateOfAnotherStrategyOrModel) {
  const std::vector<float> good(kParameters, 1.0F);
  std::vector<float> bad = good;
  bad[7] = std::numeric_limits<float>::quiet_NaN();
  const auto refuses = [](const char* name, State state) {
    const Status restored = made({.name = name})->restore(std::move(state));
    EXPECT_TRUE(restored || restored.error().code == Code::kFailedPrecondition);
    return !restored;
  };
  EXPECT_FALSE(refuses("FedAvg", {}));
  EXPECT_TRUE(refuses("FedAvg", {{"m", good}}));
  EXPECT_FALSE(refuses("FedAvgM", {{"m", good}}));
  EXPECT_TRUE(refuses("FedAvgM", {}));
  EXPECT_TRUE(refuses("FedAvgM", {{"v", good}}));
  EXPECT_TRUE(refuses("FedAvgM", {{"m", bad}}));
  EXPECT_TRUE(refuses("FedAvgM", {{"m", {1.0F}}}));
  EXPECT_FALSE(refuses("FedAdam", {{"m", good}, {"v", good}}));
  EXPECT_TRUE(refuses("FedAdam", {{"m", good}}));
  EXPECT_TRUE(refuses("FedAdam", {{"v", good}, {"m", good}}));
}

// Of an earlier release: the mean of the differences in float64, rounded, then added to the model as floats.
TEST(FedOpt, OfFedAvgIsTheModelPlusTheMeanToTheBit) {
  constexpr std::uint64_t kSeed = 17;
  RecordProperty("seed", static_cast<int>(kSeed));
  Random random(kSeed);
  const auto strategy = made({});
  std::vector<float> model(kParameters);
  std::vector<float> mean(kParameters);
  for (float& value : model) value = static_cast<float>(random.normal());
  double behind = 0;
  for (std::uint64_t client = 0; client < 9; ++client) {
    std::vector<float> delta(kParameters);
    for (float& value : delta) value = static_cast<float>(0.01 * random.normal());
    const std::uint64_t examples = 1 + 31 * client;
    ASSERT_TRUE(strategy->take({.delta = delta, .examples = examples}));
    behind += static_cast<double>(examples);
    for (std::size_t i = 0; i < kParameters; ++i) {
      const auto before = static_cast<double>(mean[i]);
      mean[i] = static_cast<float>(before + static_cast<double>(examples) / behind *
                                                (static_cast<double>(delta[i]) - before));
    }
  }
  for (std::size_t i = 0; i < kParameters; ++i) mean[i] += model[i];
  EXPECT_EQ(*strategy->finish(model), mean);
}

}  // namespace
}  // namespace muster::agg
