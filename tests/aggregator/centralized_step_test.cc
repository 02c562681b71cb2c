// tests/aggregator/centralized_step_test.cc: FedAvg of one full-batch step each is one step of gradient
// descent (McMahan et al. 2017, section 2: FederatedSGD)
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "aggregator/strategy/strategy.h"
#include "learning/dataset.h"
#include "learning/local_training.h"
#include "learning/model.h"
#include "learning/partition.h"

namespace muster::agg {
namespace {

TEST(FedAvg, OfOneFullBatchStepEachIsTheCentralizedGradientStep) {
  constexpr std::uint64_t kSeed = 5;
  constexpr std::int64_t kClients = 7;
  spec::ClientTraining training;
  training.model.name = "softmax";
  training.dataset.name = "synthetic";
  training.dataset.synthetic.devices = kClients;
  training.local_epochs = 1;
  training.batch_size = 0;
  training.optimizer = {.name = "SGD", .learning_rate = 0.1};
  const auto data = learning::load_dataset(training.dataset, kSeed);
  ASSERT_TRUE(data) << data.error().message;
  const auto task = learning::make_model(training.model, data->train);
  ASSERT_TRUE(task) << task.error().message;
  const auto parts = learning::partition_examples(*data, {.kind = "Natural"}, kClients, kSeed);
  ASSERT_TRUE(parts) << parts.error().message;
  const std::vector<float> global = (*task)->initial_parameters(kSeed);

  auto strategy = make_strategy({}, global.size());
  ASSERT_TRUE(strategy);
  for (std::int64_t client = 0; client < kClients; ++client) {
    const auto update = learning::train_locally(**task, training, global, data->train,
                                                (*parts)[static_cast<std::size_t>(client)],
                                                static_cast<std::uint64_t>(client), [] { return false; });
    ASSERT_TRUE(update) << update.error().message;
    ASSERT_TRUE((*strategy)->take({.delta = update->delta, .examples = update->examples}));
  }
  auto next = (*strategy)->finish(global);
  ASSERT_TRUE(next) << next.error().message;
  std::vector<float> step = std::move(*next);
  for (std::size_t i = 0; i < step.size(); ++i) step[i] -= global[i];

  std::vector<std::int64_t> rows(static_cast<std::size_t>(data->train.size()));
  std::iota(rows.begin(), rows.end(), 0);
  std::vector<float> gradient(global.size());
  static_cast<void>((*task)->gradient(global, data->train, rows, gradient));
  double largest = 0;
  for (std::size_t i = 0; i < step.size(); ++i) {
    ASSERT_NEAR(step[i], -0.1 * static_cast<double>(gradient[i]), 1e-6) << "parameter " << i;
    largest = std::max(largest, std::abs(static_cast<double>(step[i])));
  }
  EXPECT_GT(largest, 1e-3);  // there was a step
}

}  // namespace
}  // namespace muster::agg
