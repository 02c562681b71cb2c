// tests/aggregator/q_fed_avg_test.cc: q-FedAvg, the client's part and the server's together
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "aggregator/strategy/strategy.h"
#include "aggregator/strategy/weighted_mean.h"
#include "learning/local_objective.h"

namespace muster::agg {
namespace {

constexpr std::array<double, 2> kModel{.5, -1};
constexpr std::array<std::array<double, 2>, 3> kLocal{{{.4, -.8}, {.7, -1.3}, {.5, -.6}}};
constexpr std::array<double, 3> kLosses{.9, 2.5, .04};
constexpr double kRate = 0.1;

std::vector<double> step(double q) {
  WeightedMean<double> mean(2);
  for (std::size_t client = 0; client < kLocal.size(); ++client) {
    std::vector<double> delta{kLocal[client][0] - kModel[0], kLocal[client][1] - kModel[1]};
    const double weight = learning::make_fair<double>(delta, kLosses[client], q, kRate);
    mean.fold(delta, weight);
  }
  std::vector<double> next = mean.take();
  for (std::size_t i = 0; i < 2; ++i) next[i] += kModel[i];
  return next;
}

TEST(QFedAvg, IsTheClosedForm) {
  const std::vector<double> next = step(1);
  EXPECT_NEAR(next[0], .559941520466669, 1e-9);
  EXPECT_NEAR(next[1], -1.08099415203885, 1e-9);
}

// Li et al. 2020, Algorithm 2, as it is printed: the sums of F^q grad and of h, L = 1 / rate.
TEST(QFedAvg, IsThePapersStepForAnyQ) {
  for (const double q : {0.0, 0.1, 1.0, 2.0, 5.0}) {
    std::array<double, 2> moved{};
    double sum = 0;
    for (std::size_t client = 0; client < kLocal.size(); ++client) {
      const double loss = kLosses[client] + 1e-10;
      double square = 0;
      for (std::size_t i = 0; i < 2; ++i) {
        const double gradient = (kModel[i] - kLocal[client][i]) / kRate;
        moved[i] += std::pow(loss, q) * gradient;
        square += gradient * gradient;
      }
      sum += q * std::pow(loss, q - 1) * square + std::pow(loss, q) / kRate;
    }
    const std::vector<double> next = step(q);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(next[i], kModel[i] - moved[i] / sum, 1e-9) << "q " << q;
  }
}

TEST(QFedAvg, WithoutQIsThePlainMean) {
  const std::vector<double> next = step(0);
  EXPECT_NEAR(next[0], (.4 + .7 + .5) / 3, 1e-9);
  EXPECT_NEAR(next[1], (-.8 - 1.3 - .6) / 3, 1e-9);
}

TEST(QFedAvg, WeighsByWhatTheClientSaysAndNotByExamples) {
  const auto strategy = make_strategy({.name = "QFedAvg", .q = 1}, 1);
  ASSERT_TRUE(strategy);
  EXPECT_EQ((*strategy)->settings().fairness_q, 1);
  ASSERT_TRUE((*strategy)->take({.delta = std::vector<float>{4}, .examples = 1000, .weight = 0.5}));
  ASSERT_TRUE((*strategy)->take({.delta = std::vector<float>{0}, .examples = 1, .weight = 1.5}));
  EXPECT_EQ(*(*strategy)->finish(std::vector<float>{10}), std::vector<float>{11});
}

TEST(QFedAvg, RefusesAWeightThatIsNone) {
  const auto strategy = make_strategy({.name = "QFedAvg", .q = 1}, 1);
  ASSERT_TRUE(strategy);
  ASSERT_TRUE((*strategy)->take({.delta = std::vector<float>{1}, .examples = 1, .weight = 1}));
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double weight : {0.0, -1.0, 1.0001e6, kInfinity, std::numeric_limits<double>::quiet_NaN()}) {
    const Status refused =
        (*strategy)->take({.client = 3, .delta = std::vector<float>{9}, .examples = 1, .weight = weight});
    ASSERT_FALSE(refused) << weight;
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_NE(refused.error().message.find("client 3"), std::string::npos);
  }
  EXPECT_EQ(*(*strategy)->finish(std::vector<float>{0}), std::vector<float>{1});
}

TEST(PerFedAvg, WeighsAllClientsAlike) {
  const auto strategy = make_strategy({.name = "PerFedAvg", .inner_learning_rate = 0.1}, 1);
  ASSERT_TRUE(strategy);
  EXPECT_EQ((*strategy)->settings().meta, (learning::MetaSettings{.alpha = 0.1, .hessian_free = false}));
  ASSERT_TRUE((*strategy)->take({.delta = std::vector<float>{4}, .examples = 1000}));
  ASSERT_TRUE((*strategy)->take({.delta = std::vector<float>{0}, .examples = 1}));
  EXPECT_EQ(*(*strategy)->finish(std::vector<float>{10}), std::vector<float>{12});
}

}  // namespace
}  // namespace muster::agg
