// tests/learning/local_objective_test.cc: what FedProx and q-FedAvg change on a client, by their formulas
#include "learning/local_objective.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/learning/local_setting.h"

namespace muster::learning {
namespace {

// f(w) = curvature (w - centre)^2 / 2, `steps` steps of SGD from `global` on f and the proximal term.
double local_minimum(double curvature, double centre, double mu, double rate, int steps, double global) {
  std::vector<double> w{global};
  for (int step = 0; step < steps; ++step) {
    std::vector<double> gradient{curvature * (w[0] - centre)};
    add_proximal_gradient<double>(gradient, w, std::span(&global, 1), mu);
    w[0] -= rate * gradient[0];
  }
  return w[0];
}

// Closed forms: two clients, a = (2, 5), c = (1, -1), n = (3, 1), eta .05, four local steps, from w = 4.
std::vector<double> rounds_of_two_clients(double mu, int rounds) {
  std::vector<double> after;
  double w = 4;
  for (int round = 0; round < rounds; ++round) {
    w = (3 * local_minimum(2, 1, mu, 0.05, 4, w) + local_minimum(5, -1, mu, 0.05, 4, w)) / 4;
    after.push_back(w);
  }
  return after;
}

TEST(FedProx, IsTheClosedFormOfTwoQuadratics) {
  const auto fed_avg = rounds_of_two_clients(0, 200);
  EXPECT_NEAR(fed_avg[0], 2.3717328125, 1e-9);
  EXPECT_NEAR(fed_avg[1], 1.44170475751221, 1e-9);
  EXPECT_NEAR(fed_avg[2], .910494530035718, 1e-9);
  EXPECT_NEAR(fed_avg.back(), .202942644663633, 1e-9);
  const auto fed_prox = rounds_of_two_clients(3, 200);
  EXPECT_NEAR(fed_prox[0], 2.704765625, 1e-9);  // 2.5479646484375 with mu/2 in the gradient
  EXPECT_NEAR(fed_prox[1], 1.85130736206055, 1e-9);
  EXPECT_NEAR(fed_prox[2], 1.28894504321024, 1e-9);
  EXPECT_NEAR(fed_prox.back(), .202528746163361, 1e-9);
}

double norm_of(const std::vector<float>& values) {
  double square = 0;
  for (const float value : values) square += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(square);
}

TEST(FedProx, WithoutMuIsFedAvgToTheBit) {
  const Setting setting(5);
  EXPECT_EQ(setting.train({.proximal_mu = 0}).delta, setting.train({}).delta);
}

TEST(FedProx, KeepsClientsNearTheGlobalModelTheMoreSoTheLargerMuIs) {
  const Setting setting(5);
  const double free = norm_of(setting.train({}).delta);
  const double held = norm_of(setting.train({.proximal_mu = 1}).delta);
  const double tight = norm_of(setting.train({.proximal_mu = 10}).delta);
  EXPECT_LT(held, free);
  EXPECT_LT(tight, held);
}

TEST(FedProx, OfOneStepIsFedAvg) {  // the term has no gradient where it begins
  Setting setting(5);
  setting.spec.local_epochs = 1;
  setting.spec.batch_size = 0;
  EXPECT_EQ(setting.train({.proximal_mu = 7}).delta, setting.train({}).delta);
}

TEST(QFedAvg, ScalesTheUpdateByTheLossOfTheGlobalModelOnAllExamples) {
  const Setting setting(5);
  auto expected = setting.train({});
  const double loss =
      setting.model->evaluate(setting.global, setting.data).loss;  // of all 60, before training
  const double weight = make_fair<float>(expected.delta, loss, 2, setting.spec.optimizer.learning_rate);
  const auto fair = setting.train({.fairness_q = 2});
  EXPECT_NEAR(fair.weight, weight, 1e-5 * weight);
  ASSERT_EQ(fair.delta.size(), expected.delta.size());
  for (std::size_t i = 0; i < fair.delta.size(); ++i)
    ASSERT_NEAR(fair.delta[i], expected.delta[i], 1e-6F) << "parameter " << i;
}

TEST(QFedAvg, WithoutQLeavesTheUpdateAloneAndWeighsAllAlike) {
  const Setting setting(5);
  const auto fair = setting.train({.fairness_q = 0});
  EXPECT_EQ(fair.delta, setting.train({}).delta);
  EXPECT_EQ(fair.weight, 1);
}

TEST(QFedAvg, OfAModelThatHasDivergedIsAnError) {
  const Setting setting(5);
  std::vector<float> broken = setting.global;
  broken[3] = std::numeric_limits<float>::quiet_NaN();
  const auto update = train_locally(*setting.model, setting.spec, broken, setting.data, rows_of(0, 9), 1, {},
                                    {.fairness_q = 1});
  ASSERT_FALSE(update);
  EXPECT_EQ(update.error().code, Code::kDataLoss);
}

TEST(LocalSettings, ThatMakeNoSenseAreRefused) {
  const Setting setting(5);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {nan, infinity, -1.0}) {
    for (const LocalSettings& settings :
         {LocalSettings{.proximal_mu = bad}, LocalSettings{.fairness_q = bad}}) {
      const auto update = train_locally(*setting.model, setting.spec, setting.global, setting.data,
                                        rows_of(0, 9), 1, {}, settings);
      ASSERT_FALSE(update);
      EXPECT_EQ(update.error().code, Code::kInvalidArgument);
    }
  }
}

}  // namespace
}  // namespace muster::learning
