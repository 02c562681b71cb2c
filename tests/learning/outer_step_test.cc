// tests/learning/outer_step_test.cc: each rule against values computed by hand from its paper's formula
#include "learning/outer_step.h"

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace muster::learning {
namespace {

struct Case {
  const char* what;
  OuterOptions options;
  std::vector<double> deltas;
  std::vector<double> parameters;  // after each
};

// From w = 0. Computed with 40 digits by the formulas of outer_step.h, apart from this code.
const std::vector<Case>& cases() {
  static const std::vector<Case> kAll{
      {"FedAdam: the closed form without a correction of the bias, v = tau^2 at first",
       {.rule = OuterRule::kAdam, .learning_rate = 0.1},
       {1, -0.5, 0.25, 2},
       {.0990050488825424, .134605005352975, .187839739653749, .298318232637839}},
      {"FedYogi: v only grows here",
       {.rule = OuterRule::kYogi, .learning_rate = 0.1},
       {1, -0.5, 0.25, 2},
       {.0990049998750062, .134463518569888, .187245950231320, .297358326715525}},
      {"FedYogi: v shrinks where the square is below it",
       {.rule = OuterRule::kYogi, .learning_rate = 0.1},
       {1, 0.05, 0.1, -0.01},
       {.0990049998750062, .193176359792597, .287377067581935, .371175427145922}},
      {"FedAdagrad",
       {.rule = OuterRule::kAdagrad, .learning_rate = 0.1},
       {1, -0.5, 0.25, 2},
       {.00999000499999875, .0135645151950816, .0188843861261791, .0299387037887849}},
      {"FedAvgM: m = .9 m + Delta, w += eta m",
       {.rule = OuterRule::kMomentum, .learning_rate = 0.1},
       {1, -0.5, 0.25, 2},
       {.1, .14, .201, .4559}},
      {"Nesterov, with the settings of DiLoCo",
       {.rule = OuterRule::kNesterov, .learning_rate = 0.7},
       {1, -0.5, 0.25, 2},
       {1.33, 1.232, 1.7913, 4.79717}},
      {"FedAvg", {.rule = OuterRule::kAdd}, {1, -0.5, 0.25, 2}, {1, 0.5, 0.75, 2.75}},
  };
  return kAll;
}

TEST(OuterStep, IsTheFormulaOfItsPaper) {
  for (const Case& each : cases()) {
    auto state = initial_outer_state<double>(each.options, 1);
    std::vector<double> w{0};
    for (std::size_t t = 0; t < each.deltas.size(); ++t) {
      outer<double>(each.options, w, std::span(&each.deltas[t], 1), state, w);
      EXPECT_NEAR(w[0], each.parameters[t], 1e-9) << each.what << ", step " << t + 1;
    }
  }
}

TEST(OuterStep, OfFloatsIsThatOfDoublesButForItsRounding) {
  for (const Case& each : cases()) {
    auto state = initial_outer_state<float>(each.options, 1);
    std::vector<float> w{0};
    for (std::size_t t = 0; t < each.deltas.size(); ++t) {
      const auto delta = static_cast<float>(each.deltas[t]);
      outer<float>(each.options, w, std::span(&delta, 1), state, w);
      EXPECT_NEAR(static_cast<double>(w[0]), each.parameters[t], 1e-6) << each.what << ", step " << t + 1;
    }
  }
}

TEST(OuterStep, TheResultMayLieWhereTheDifferenceOrTheParametersLie) {
  constexpr std::uint64_t kSeed = 3;
  RecordProperty("seed", static_cast<int>(kSeed));
  Random random(kSeed);
  for (const Case& each : cases()) {
    std::vector<float> parameters(1001);
    std::vector<float> delta(1001);
    for (float& value : parameters) value = static_cast<float>(random.normal());
    for (float& value : delta) value = static_cast<float>(random.normal());
    std::vector<std::vector<float>> results;
    for (int place = 0; place < 3; ++place) {
      auto w = parameters;
      auto d = delta;
      std::vector<float> apart(1001);
      const std::span<float> next = place == 0 ? std::span(apart) : place == 1 ? std::span(w) : std::span(d);
      auto state = initial_outer_state<float>(each.options, 1001);
      outer<float>(each.options, w, d, state, next);
      results.emplace_back(next.begin(), next.end());
    }
    EXPECT_EQ(results[0], results[1]) << each.what;
    EXPECT_EQ(results[0], results[2]) << each.what;
  }
}

}  // namespace
}  // namespace muster::learning
