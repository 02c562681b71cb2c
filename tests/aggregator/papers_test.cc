// tests/aggregator/papers_test.cc: what FedProx and q-FFL promise, in pairs of runs that share everything but
// the algorithm
//
// Absolute figures differ by more from seed to seed than between the algorithms; `./dev bench papers`
// compares these over ten seeds. Here three seeds and few rounds must go the papers' way.
#include <gtest/gtest.h>

#include <numeric>

#include "tests/aggregator/papers/fed_prox.h"
#include "tests/aggregator/papers/q_ffl.h"

namespace muster::papers {
namespace {

constexpr std::uint64_t kSeeds = 3;
constexpr std::int64_t kRounds = 30;
constexpr std::size_t kLast = 10;

TEST(QuickSoftmax, IsTheBuiltInOneUpToRounding) {
  const spec::Synthetic data{.devices = 2, .sigma = 0};
  Federation federation(data, 5);
  const auto built_in = learning::make_model({.name = "softmax"}, federation.data().train);
  ASSERT_TRUE(built_in);
  const auto parameters = (*built_in)->initial_parameters(7);
  ASSERT_EQ(parameters, federation.model().initial_parameters(7));
  const Rows& rows = federation.rows_of(1);
  std::vector<float> expected(parameters.size());
  std::vector<float> gradient(parameters.size(), 9.0F);
  const auto& train = federation.data().train;
  const double loss = (*built_in)->gradient(parameters, train, rows, expected);
  EXPECT_NEAR(federation.model().gradient(parameters, train, rows, gradient), loss, 1e-5);
  EXPECT_NEAR(federation.model().loss(parameters, train, rows), loss, 1e-5);
  for (std::size_t i = 0; i < gradient.size(); ++i) ASSERT_NEAR(gradient[i], expected[i], 1e-5F) << i;
  const auto whole = (*built_in)->evaluate(parameters, train);
  EXPECT_NEAR(federation.model().evaluate(parameters, train).loss, whole.loss, 1e-5);
  EXPECT_NEAR(federation.model().evaluate(parameters, train).accuracy, whole.accuracy, 1e-9);
}

TEST(FedProxPaper, TheProximalTermHelpsWhereDevicesDiffer) {
  constexpr std::int64_t kLonger = 60;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const auto plain = run_fed_prox({}, seed, kLonger);
    const auto held = run_fed_prox({.mu = 1}, seed, kLonger);
    EXPECT_LT(held.final_loss(kLast), plain.final_loss(kLast)) << "seed " << seed;
    EXPECT_GT(held.final_accuracy(kLast), plain.final_accuracy(kLast)) << "seed " << seed;
    EXPECT_LT(held.gradient_variance, plain.gradient_variance) << "seed " << seed;
    EXPECT_LT(held.rises(), plain.rises()) << "seed " << seed;
  }
}

TEST(FedProxPaper, TheProximalTermHindersWhereTheyDoNot) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const auto plain = run_fed_prox({.heterogeneity = 0, .iid = true}, seed, kRounds);
    const auto held = run_fed_prox({.heterogeneity = 0, .iid = true, .mu = 1}, seed, kRounds);
    EXPECT_LT(held.final_accuracy(kLast), plain.final_accuracy(kLast)) << "seed " << seed;
    EXPECT_GT(held.final_loss(kLast), plain.final_loss(kLast)) << "seed " << seed;
  }
}

TEST(FedProxPaper, PartialWorkOfNineStragglersInTenIsBetterThanNone) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const auto dropped = run_fed_prox({.stragglers = 9, .drop_stragglers = true}, seed, kRounds);
    for (const double mu : {0.0, 1.0}) {
      const auto kept = run_fed_prox({.mu = mu, .stragglers = 9}, seed, kRounds);
      EXPECT_LT(kept.final_loss(kLast), dropped.final_loss(kLast)) << "seed " << seed << ", mu " << mu;
      EXPECT_GT(kept.final_accuracy(kLast), dropped.final_accuracy(kLast))
          << "seed " << seed << ", mu " << mu;
    }
  }
}

TEST(QFflPaper, AFairerModelHasLessVarianceAndABetterWorstTenth) {
  constexpr std::int64_t kFairRounds = 4000;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const auto plain = run_q_ffl(0, seed, kFairRounds).mean;
    const auto fair = run_q_ffl(1, seed, kFairRounds).mean;
    EXPECT_LT(fair.variance, plain.variance) << "seed " << seed;
    EXPECT_GT(fair.worst_tenth, plain.worst_tenth) << "seed " << seed;
  }
}

}  // namespace
}  // namespace muster::papers
