// tests/aggregator/scaffold_test.cc: SCAFFOLD against closed forms in float64, and its server in float32
#include "aggregator/strategy/scaffold.h"

#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <vector>

#include "aggregator/strategy/weighted_mean.h"
#include "learning/control_variate.h"
#include "learning/outer_step.h"

namespace muster::agg {
namespace {

struct Quadratic {  // a (w - c)^2 / 2
  double a;
  double c;
  [[nodiscard]] double gradient(double w) const { return a * (w - c); }
};

// One value, all in float64, by the functions that programs run in float32.
class Federation {
 public:
  Federation(std::vector<Quadratic> clients, std::int64_t steps, double rate, double server_rate)
      : clients_(std::move(clients)),
        steps_(steps),
        rate_(rate),
        server_rate_(server_rate),
        own_(clients_.size(), std::vector<double>(1)) {}

  void round(std::span<const std::size_t> cohort) {
    WeightedMean<double> moves(1);
    WeightedMean<double> changes(1);
    for (const std::size_t client : cohort) {
      std::vector<double> y = x_;
      for (std::int64_t step = 0; step < steps_; ++step) {
        std::vector<double> gradient{clients_[client].gradient(y[0])};
        learning::correct_gradient<double>(gradient, control_, own_[client]);
        y[0] -= rate_ * gradient[0];
      }
      const std::vector<double> delta{y[0] - x_[0]};
      std::vector<double> change(1);
      learning::control_change<double>(delta, control_, steps_, rate_, change);
      own_[client][0] += change[0];
      moves.fold(delta, 1);
      changes.fold(change, 1);
    }
    const double share = static_cast<double>(cohort.size()) / static_cast<double>(clients_.size());
    const auto change = changes.take();
    learning::OuterState<double> none;
    learning::outer<double>({.learning_rate = server_rate_}, x_, moves.take(), none, x_);
    learning::advance_control<double>(control_, change, share, control_);
  }
  [[nodiscard]] double mean_own() const {
    double sum = 0;
    for (const auto& own : own_) sum += own[0];
    return sum / static_cast<double>(own_.size());
  }

  std::vector<double> x_{0};
  std::vector<double> control_{0};

 private:
  std::vector<Quadratic> clients_;
  std::int64_t steps_;
  double rate_;
  double server_rate_;
  std::vector<std::vector<double>> own_;
};

TEST(ScaffoldFormula, MovesAsThePaperSays) {
  Federation federation({{1, 0}, {3, 1}, {2, -2}}, 2, 0.1, 1);
  federation.x_ = {2};
  constexpr std::array<std::size_t, 3> kAll{0, 1, 2};
  for (const double expected : {1.2233333333333333, 0.7189222222222222, 0.3972147037037037}) {
    federation.round(kAll);
    EXPECT_NEAR(federation.x_[0], expected, 1e-9);
  }
}

// Karimireddy et al. 2020, section 5: no drift, whatever the number of local steps. FedAvg ends elsewhere.
TEST(ScaffoldFormula, ComesToTheOptimumOfAllForAnyNumberOfSteps) {
  for (const std::int64_t steps : {1, 5, 10}) {
    Federation federation({{1, 0}, {3, 1}}, steps, 0.1, 1);
    constexpr std::array<std::size_t, 2> kBoth{0, 1};
    for (int round = 0; round < 2000; ++round) federation.round(kBoth);
    EXPECT_NEAR(federation.x_[0], 0.75, 1e-9) << steps << " steps";
    EXPECT_NEAR(federation.control_[0], federation.mean_own(), 1e-12);
  }
}

TEST(ScaffoldFormula, ItsControlVariateIsTheMeanOfAllThatAreEnrolledWhoeverTakesPart) {
  Federation federation({{1, 0}, {3, 1}, {2, -2}, {0.5, 4}}, 3, 0.05, 1);
  for (std::size_t round = 0; round < 40; ++round) {
    const std::array<std::size_t, 2> cohort{
        round % 4, (round * 3 + 1) % 4 == round % 4 ? (round + 2) % 4 : (round * 3 + 1) % 4};
    federation.round(cohort);
    EXPECT_NEAR(federation.control_[0], federation.mean_own(), 1e-12) << "round " << round;
  }
}

TEST(Scaffold, MovesTheModelByTheMeanAndItsControlVariateByTheShareThatTookPart) {
  Scaffold server(2, 4, 0.5);
  EXPECT_TRUE(server.settings().control_variates);
  const auto before = server.broadcast();
  EXPECT_EQ(*before, (std::vector<float>{0, 0}));
  const std::vector<float> a{1, -2}, b{3, 4}, c{8, 0}, d{0, -4};
  ASSERT_TRUE(server.take({.client = 0, .delta = a, .examples = 1, .control_change = c}));
  ASSERT_TRUE(server.take({.client = 1, .delta = b, .examples = 1000, .control_change = d}));
  const auto next = server.finish(std::vector<float>{10, 10});
  ASSERT_TRUE(next);
  EXPECT_EQ(*next, (std::vector<float>{11, 10.5}));
  EXPECT_EQ(*server.broadcast(), (std::vector<float>{2, -1})) << "half of the enrolled";
  EXPECT_EQ(*before, (std::vector<float>{0, 0})) << "who downloads it goes on with it";
}

TEST(Scaffold, WhatIsDiscardedLeavesNoTrace) {
  Scaffold server(1, 2, 1);
  const std::vector<float> lot{8}, one{1};
  ASSERT_TRUE(server.take({.delta = lot, .examples = 1, .control_change = lot}));
  server.discard();
  EXPECT_FALSE(server.finish(std::vector<float>{0})) << "nothing is left to average";
  ASSERT_TRUE(server.take({.delta = one, .examples = 1, .control_change = one}));
  EXPECT_EQ(server.finish(std::vector<float>{0}).value_or(std::vector<float>{}), one);
  EXPECT_EQ(*server.broadcast(), std::vector<float>{0.5F});
}

TEST(Scaffold, RefusesAnUpdateWithoutItsControlVariateOrWithAnAbsurdOne) {
  Scaffold server(1, 2, 1);
  const std::vector<float> one{1}, two{1, 1}, absurd{3e38F}, none{std::nanf("")};
  EXPECT_FALSE(server.take({.delta = one, .examples = 1}));
  EXPECT_FALSE(server.take({.delta = one, .examples = 1, .control_change = two}));
  EXPECT_FALSE(server.take({.delta = one, .examples = 1, .control_change = absurd}));
  EXPECT_FALSE(server.take({.delta = one, .examples = 1, .control_change = none}));
  EXPECT_FALSE(server.take({.delta = absurd, .examples = 1, .control_change = one}));
  EXPECT_FALSE(server.finish(std::vector<float>{0}));
}

TEST(Scaffold, GoesOnFromItsState) {
  Scaffold first(1, 2, 1);
  const std::vector<float> one{1};
  ASSERT_TRUE(first.take({.delta = one, .examples = 1, .control_change = one}));
  ASSERT_TRUE(first.finish(one));
  ASSERT_EQ(first.state().size(), 1U);
  Scaffold second(1, 2, 1);
  const auto saved = first.state()[0];
  EXPECT_FALSE(second.restore({})) << "the checkpoint of a FedAvg";
  EXPECT_FALSE(second.restore({{saved.name, {1, 2}}})) << "of another model";
  ASSERT_TRUE(second.restore({{saved.name, {saved.values.begin(), saved.values.end()}}}));
  EXPECT_EQ(*second.broadcast(), *first.broadcast());
}

}  // namespace
}  // namespace muster::agg
