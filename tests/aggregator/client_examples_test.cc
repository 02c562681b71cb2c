// tests/aggregator/client_examples_test.cc: how many examples an update may stand for
#include "aggregator/shell/client_examples.h"

#include <gtest/gtest.h>

namespace muster::agg {
namespace {

TEST(ClientExamples, AreThoseOfThePartLessWhatIsHeldOutAndWhatHasNotComeYet) {
  spec::Federation federation;
  federation.clients = 2;
  learning::Dataset dataset;
  dataset.train.feature_count = 1;
  dataset.train.class_count = 1;
  dataset.train.features.resize(20);
  dataset.train.labels.resize(20);
  const auto whole = examples_of_clients(federation, dataset);
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(whole->trained, (std::vector<std::uint64_t>{10, 10}));
  EXPECT_TRUE(whole->held_out.empty());
  federation.personalization.emplace();
  const auto split = examples_of_clients(federation, dataset);
  ASSERT_TRUE(split);
  EXPECT_EQ(split->trained, (std::vector<std::uint64_t>{8, 8}));
  EXPECT_EQ(split->held_out, (std::vector<std::uint64_t>{2, 2}));
  EXPECT_EQ(trained_in_round(federation, 8, 1), 8U);
  federation.stream = spec::Stream{.initial_examples = 3, .examples_per_round = 2};
  EXPECT_EQ(trained_in_round(federation, 8, 1), 3U);
  EXPECT_EQ(trained_in_round(federation, 8, 3), 7U);
  EXPECT_EQ(trained_in_round(federation, 8, 1'000), 8U);
  EXPECT_EQ(trained_in_round(federation, 0, 1), 0U);
  federation.cohort.max_examples_per_client = 9;
  EXPECT_FALSE(examples_of_clients(federation, dataset));
}

}  // namespace
}  // namespace muster::agg
