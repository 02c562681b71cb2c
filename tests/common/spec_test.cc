// tests/common/spec_test.cc: training and federation specs survive the wire and refuse nonsense
#include <gmock/gmock.h>

#include "common/spec/federation.h"
#include "common/spec/training.h"

namespace muster::spec {
namespace {

using ::testing::HasSubstr;

Federation federation() {
  Federation value;
  value.training.dataset = {.name = "fashion-mnist", .path = "/data", .csv = {}, .synthetic = {}};
  value.clients = 100;
  return value;
}

TEST(Training, SurvivesTheWire) {
  Training training;
  training.model = {.name = "mlp", .hidden = {32, 16}};
  training.dataset = {.name = "csv",
                      .path = "/data/x.csv",
                      .csv = {.label_column = "y", .test_fraction = 0.25},
                      .synthetic = {}};
  training.optimizer.name = "Adam";
  training.optimizer.learning_rate = 1e-3;
  training.checkpoint = Checkpoint{.path = "/out", .every_steps = 5, .keep = 2};
  training.seed = 42;
  const auto back = training_from_json(to_json(training));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, training);
}

TEST(Training, NeedsThePathOfItsFiles) {
  const auto read =
      training_from_json({{"model", {{"name", "cnn"}}}, {"dataset", {{"name", "fashion-mnist"}}}});
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("spec.training.dataset.path"));
}

TEST(Federation, SurvivesTheWire) {
  Federation value = federation();
  value.target = Target{.metric = "Accuracy", .value = 0.8};
  value.partition = {.kind = "LabelShards", .shards_per_client = 2, .alpha = 0.5};
  const auto back = federation_from_json(to_json(value));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, value);
}

TEST(SelectionCount, IsTheCeilingOfSizeTimesOverSelection) {
  EXPECT_EQ(selection_count({.size = 10, .over_selection = 1.0}), 10);
  EXPECT_EQ(selection_count({.size = 50, .over_selection = 1.1}), 55);  // above 55 in binary
  EXPECT_EQ(selection_count({.size = 100, .over_selection = 1.1}), 110);
  EXPECT_EQ(selection_count({.size = 10, .over_selection = 1.3}), 13);
  EXPECT_EQ(selection_count({.size = 3, .over_selection = 1.5}), 5);
}

TEST(Federation, TakesACohortThatSelectsEveryClient) {
  Federation value = federation();
  value.clients = 55;
  value.cohort = {.size = 50, .over_selection = 1.1, .minimum = 1};
  const Status valid = validate(value);
  EXPECT_TRUE(valid) << valid.error().message;
}

TEST(Federation, RefusesACohortLargerThanTheClients) {
  Federation value = federation();
  value.cohort = {.size = 90, .over_selection = 1.3, .minimum = 1};
  EXPECT_THAT(validate(value).error().message,
              HasSubstr("selects 117 clients, but spec.clients.count is 100; lower cohort.size"));
}

}  // namespace
}  // namespace muster::spec
