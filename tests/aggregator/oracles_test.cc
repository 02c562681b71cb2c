// tests/aggregator/oracles_test.cc: the strategies' closed forms with other values than those beside each of
// them
//
// The expected values were computed by another program, in exact fractions where the formula is one; the
// functions are those that programs run, here on doubles.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "aggregator/strategy/krum.h"
#include "aggregator/strategy/weighted_mean.h"
#include "learning/control_variate.h"
#include "learning/local_objective.h"
#include "learning/meta_gradient.h"
#include "learning/outer_step.h"

namespace muster::agg {
namespace {

constexpr double kExact = 1e-9;

struct Quadratic {  // a (w - c)^2 / 2
  double a, c;
  [[nodiscard]] double gradient(double w) const { return a * (w - c); }
};

// Three clients with 7, 2 and 5 examples, rate 0.02, six local steps: the next model.
double fed_prox_round(double w, double mu) {
  constexpr std::array<Quadratic, 3> kClients{{{0.5, -2}, {3, 0.5}, {8, 3}}};
  constexpr std::array<double, 3> kExamples{7, 2, 5};
  WeightedMean<double> mean(1);
  for (std::size_t client = 0; client < 3; ++client) {
    std::vector<double> local{w};
    for (int step = 0; step < 6; ++step) {
      std::vector<double> gradient{kClients[client].gradient(local[0])};
      learning::add_proximal_gradient<double>(gradient, local, std::span(&w, 1), mu);
      local[0] -= 0.02 * gradient[0];
    }
    mean.fold(std::vector<double>{local[0] - w}, kExamples[client]);
  }
  learning::OuterState<double> none;
  std::vector<double> next(1);
  learning::outer<double>({}, std::span(&w, 1), mean.take(), none, next);
  return next[0];
}

TEST(Oracle, FedAvgAndFedProx) {
  struct Case {
    double mu;
    std::array<double, 3> rounds;
    double fixed;
  };
  for (const Case& expected :
       {Case{0, {-0.03608635212007143, 0.6335989040720232, 1.0988670775722877}, 2.1578513386803437},
        Case{1.5, {-0.10217964941385714, 0.540550859687542, 1.0006679722703091}, 2.1599901322406607}}) {
    double w = -1;
    for (const double round : expected.rounds) EXPECT_NEAR(w = fed_prox_round(w, expected.mu), round, kExact);
    for (int round = 0; round < 500; ++round) w = fed_prox_round(w, expected.mu);
    EXPECT_NEAR(w, expected.fixed, kExact);
  }
}

TEST(Oracle, QFedAvgOfAnotherQ) {
  constexpr std::array<double, 3> kModel{1.5, -.25, 2};
  constexpr std::array<std::array<double, 3>, 4> kLocal{
      {{1.1, -.5, 2.2}, {1.6, 0, 1.5}, {.9, .25, 2.4}, {1.5, -.3, 1.9}}};
  constexpr std::array<double, 4> kLosses{3.2, .15, 7.5, 1.0};
  for (const auto& [q, expected] :
       {std::pair{0.7, std::array{1.362494503889412, -0.18812330775972913, 2.076607781790318}},
        {3.0, {1.4172386371583898, -0.1869894140612875, 2.0544636127125653}}}) {
    WeightedMean<double> mean(3);
    for (std::size_t client = 0; client < kLocal.size(); ++client) {
      std::vector<double> delta;
      for (std::size_t i = 0; i < 3; ++i) delta.push_back(kLocal[client][i] - kModel[i]);
      const double weight = learning::make_fair<double>(delta, kLosses[client], q, 0.05);
      mean.fold(delta, weight);
    }
    const auto moved = mean.take();
    for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(kModel[i] + moved[i], expected[i], kExact) << "q " << q;
  }
}

// Four enrolled, of whom two to four take part; rates 1/20 and 4/5, three local steps.
TEST(Oracle, ScaffoldOfChangingCohorts) {
  constexpr std::array<Quadratic, 4> kClients{{{2, 1}, {1, -1}, {4, 0.5}, {0.5, 3}}};
  std::array<std::vector<double>, 4> own;
  own.fill({0});
  std::vector<double> x{-1};
  std::vector<double> control{0};
  struct Round {
    std::vector<std::size_t> cohort;
    double x, control;
  };
  for (const Round& round : {Round{{0, 2}, -0.4904, -2.1233333333333335},
                             Round{{1, 3, 2}, -0.23891880666666668, -2.1025907916666666},
                             Round{{0, 1}, -0.07636999643630556, -1.7285821051265047},
                             Round{{3, 0, 1, 2}, 0.06615380037044898, -1.1876983067229545}}) {
    WeightedMean<double> moves(1);
    WeightedMean<double> changes(1);
    for (const std::size_t client : round.cohort) {
      double y = x[0];
      for (int step = 0; step < 3; ++step) {
        std::vector<double> gradient{kClients[client].gradient(y)};
        learning::correct_gradient<double>(gradient, control, own[client]);
        y -= 0.05 * gradient[0];
      }
      std::vector<double> change(1);
      learning::control_change<double>(std::vector<double>{y - x[0]}, control, 3, 0.05, change);
      own[client][0] += change[0];
      moves.fold(std::vector<double>{y - x[0]}, 1);
      changes.fold(change, 1);
    }
    const auto change = changes.take();
    learning::OuterState<double> none;
    learning::outer<double>({.learning_rate = 0.8}, x, moves.take(), none, x);
    learning::advance_control<double>(control, change, static_cast<double>(round.cohort.size()) / 4, control);
    EXPECT_NEAR(x[0], round.x, kExact);
    EXPECT_NEAR(control[0], round.control, kExact);
  }
}

TEST(Oracle, FedOptOfOtherRates) {
  constexpr std::array<double, 5> kDeltas{.3, -.02, .5, 0, -.4};
  using learning::OuterRule;
  struct Case {
    OuterRule rule;
    std::array<double, 5> models;
  };
  for (const Case& expected : {Case{OuterRule::kAdam,
                                    {0.0385671385897637, 0.06743049180384715, 0.11602973562509304,
                                     0.155844792888564, 0.15786218799356916}},
                               Case{OuterRule::kYogi,
                                    {0.038548866554168434, 0.06687175360284252, 0.11492049355491915,
                                     0.15335948551658046, 0.15529811157162363}},
                               Case{OuterRule::kAdagrad,
                                    {0.009672220679869087, 0.016749994950727695, 0.028139597601215503,
                                     0.03725127972160575, 0.03770621781986802}}}) {
    const learning::OuterOptions options{
        .rule = expected.rule, .learning_rate = .05, .beta1 = .8, .beta2 = .95, .tau = .01};
    auto state = learning::initial_outer_state<double>(options, 1);
    std::vector<double> w{0};
    for (std::size_t i = 0; i < kDeltas.size(); ++i) {
      learning::outer<double>(options, w, std::vector<double>{kDeltas[i]}, state, w);
      EXPECT_NEAR(w[0], expected.models[i], kExact) << "step " << i;
    }
  }
}

TEST(Oracle, KrumOfSixWithOneLiar) {
  const std::vector<double> updates{0,   1,   2,    .1, 1.1, 1.8, -.2, .9, 2.1,
                                    .05, 1.3, 2.05, 4,  -1,  0,   .3,  .8, 1.7};
  constexpr std::array<double, 6> kScores{.215, .305, .505, .425, 66.68, .78};
  const auto scores = krum_scores<double>(updates, 6, 1);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(scores[i], kScores[i], kExact) << i;
}

// f = w^4 / 4 and (w - 2)^2, alpha .05, beta .1, three local steps, from w = -1.2.
TEST(Oracle, PerFedAvgOfBothOrders) {
  const auto round = [](double w, bool hessian_free) {
    double sum = 0;
    for (const bool quartic : {true, false}) {
      double local = w;
      for (int step = 0; step < 3; ++step) {
        double gradient = 0;
        static_cast<void>(learning::meta_gradient<double>(
            {.alpha = .05, .hessian_free = hessian_free},
            [&](learning::MetaBatch, std::span<const double> at, std::span<double> out) {
              out[0] = quartic ? at[0] * at[0] * at[0] : 2 * (at[0] - 2);
              return 0.0;
            },
            std::span(&local, 1), std::span(&gradient, 1)));
        local -= .1 * gradient;
      }
      sum += local;
    }
    return sum / 2;
  };
  double w = -1.2;
  for (const double expected : {-0.3242955072445828, 0.20196605552383814, 0.6040803638378462})
    EXPECT_NEAR(w = round(w, false), expected, kExact);
  w = -1.2;  // with the product of the Hessian as it is: differences have it to the square of their width
  for (const double expected : {-0.4063178411314438, 0.09795814803875719, 0.48918163989042923})
    EXPECT_NEAR(w = round(w, true), expected, 1e-6);
}

}  // namespace
}  // namespace muster::agg
