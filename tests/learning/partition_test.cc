// tests/learning/partition_test.cc: what every partition promises, on many random cases
#include "learning/partition.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/learning/examples.h"

namespace muster::learning {
namespace {

Dataset labelled(std::int64_t count, std::int64_t classes, std::uint64_t seed) {
  Dataset data;
  data.train = {.feature_count = 1, .class_count = classes, .shape = {1}, .features = {}, .labels = {}};
  Random random(seed);
  for (std::int64_t i = 0; i < count; ++i) {
    data.train.features.push_back(0);
    data.train.labels.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(classes))));
  }
  return data;
}

void expect_each_row_once(const std::vector<std::vector<std::int64_t>>& parts, std::int64_t count) {
  std::vector<int> seen(static_cast<std::size_t>(count));
  for (const auto& part : parts) {
    EXPECT_FALSE(part.empty());
    for (const auto row : part) ++seen.at(static_cast<std::size_t>(row));
  }
  EXPECT_EQ(seen, std::vector<int>(static_cast<std::size_t>(count), 1));
}

std::size_t largest(const std::vector<std::vector<std::int64_t>>& parts) {
  std::size_t size = 0;
  for (const auto& part : parts) size = std::max(size, part.size());
  return size;
}

std::set<std::int32_t> labels_of(const Dataset& data, const std::vector<std::int64_t>& part) {
  std::set<std::int32_t> labels;
  for (const auto row : part) labels.insert(data.train.labels[static_cast<std::size_t>(row)]);
  return labels;
}

TEST(Partition, GivesEveryExampleToExactlyOneClient) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const auto clients = static_cast<std::int64_t>(1 + random.below(40));
    const auto count = 4 * clients + static_cast<std::int64_t>(random.below(500));
    const Dataset data = labelled(count, static_cast<std::int64_t>(1 + random.below(12)), seed);
    for (const char* kind : {"IID", "LabelShards", "Dirichlet"}) {
      SCOPED_TRACE(kind);
      const spec::Partition partition{.kind = kind,
                                      .shards_per_client = static_cast<std::int64_t>(1 + random.below(4)),
                                      .alpha = 0.05 + random.uniform()};
      const auto parts = partition_examples(data, partition, clients, seed);
      ASSERT_TRUE(parts) << parts.error().message;
      ASSERT_EQ(std::ssize(*parts), clients);
      expect_each_row_once(*parts, count);
      const std::size_t slack =
          partition.kind == "LabelShards" ? static_cast<std::size_t>(partition.shards_per_client) : 1;
      EXPECT_LE(largest(*parts), static_cast<std::size_t>(count / clients) + slack);
      EXPECT_EQ(*parts, *partition_examples(data, partition, clients, seed))
          << "not a function of its arguments";
      if (clients > 5) {
        EXPECT_NE(*parts, *partition_examples(data, partition, clients, seed + 1000));
      }
    }
  }
}

TEST(LabelShards, GiveAClientFewLabels) {
  const Dataset data = labelled(6000, 10, 3);
  const auto parts = *partition_examples(data, {.kind = "LabelShards", .shards_per_client = 2}, 100, 5);
  std::size_t most = 0;
  for (const auto& part : parts) {
    EXPECT_EQ(part.size(), 60U);
    most = std::max(most, labels_of(data, part).size());
  }
  EXPECT_LE(most, 4U);  // a shard holds one label, or two where it lies on a border
  std::size_t at_most_two = 0;
  for (const auto& part : parts) at_most_two += labels_of(data, part).size() <= 2 ? 1 : 0;
  EXPECT_GE(at_most_two, 80U);
}

TEST(Dirichlet, IsMoreUnequalTheSmallerAlphaIs) {
  const Dataset data = labelled(5000, 10, 4);
  const auto mean_labels = [&](double alpha) {
    const auto parts = *partition_examples(data, {.kind = "Dirichlet", .alpha = alpha}, 50, 8);
    double sum = 0;
    for (const auto& part : parts) sum += static_cast<double>(labels_of(data, part).size());
    return sum / 50;
  };
  EXPECT_LT(mean_labels(0.05), 4);
  EXPECT_GT(mean_labels(100), 9);
  EXPECT_LE(mean_labels(1e-9), 3);  // every gamma draw underflows
}

TEST(Natural, IsTheDatasetsOwnDevices) {
  Dataset data = labelled(10, 2, 1);
  data.device_begin = {0, 3, 4, 10};
  const auto parts = *partition_examples(data, {.kind = "Natural"}, 3, 0);
  EXPECT_EQ(parts[0], rows_of(0, 3));
  EXPECT_EQ(parts[1], rows_of(3, 4));
  EXPECT_EQ(parts[2], rows_of(4, 10));
  const auto wrong = partition_examples(data, {.kind = "Natural"}, 4, 0);
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("3 devices but clients.count is 4"), std::string::npos);
}

TEST(Partition, RefusesWhatCannotBe) {
  const Dataset data = labelled(10, 2, 1);
  EXPECT_EQ(partition_examples(data, {.kind = "IID"}, 11, 0).error().code, Code::kInvalidArgument);
  EXPECT_EQ(partition_examples(data, {.kind = "IID"}, 0, 0).error().code, Code::kInvalidArgument);
  EXPECT_FALSE(partition_examples(data, {.kind = "LabelShards", .shards_per_client = 3}, 4, 0));
  EXPECT_FALSE(partition_examples(data, {.kind = "LabelShards", .shards_per_client = 1LL << 62}, 4, 0));
  EXPECT_FALSE(partition_examples(data, {.kind = "Natural"}, 2, 0));
  EXPECT_FALSE(partition_examples(data, {.kind = "Dirichlet", .alpha = 0}, 2, 0));
  EXPECT_FALSE(partition_examples(data, {.kind = "Sorted"}, 2, 0));
}

}  // namespace
}  // namespace muster::learning
