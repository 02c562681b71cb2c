// tests/worker/one_spectrum_test.cc: a DistributedJob with local steps is a FederatedRound in which every
// client takes part: the same steps on the same batches end with the same bits
#include <gtest/gtest.h>

#include "aggregator/strategy/fed_opt.h"
#include "tests/worker/mesh_support.h"
#include "tests/worker/quadratic_model.h"
#include "tests/worker/small_job.h"
#include "worker/engine/train_loop.h"
#include "worker/parallel/gradient_sum.h"
#include "worker/parallel/local_steps.h"

namespace muster::worker::test {
namespace {

constexpr int kWorkers = 2;  // of more, a ring and a running mean add up in other orders
constexpr std::int64_t kSteps = 5;
constexpr learning::OuterOptions kOuter{
    .rule = learning::OuterRule::kNesterov, .learning_rate = 0.7, .momentum = 0.9};

spec::Training plain_sgd() {
  spec::Training made = training(4, 3);
  made.optimizer.momentum = 0;
  return made;
}

std::vector<float> by_a_job(const learning::Dataset& data) {
  const spec::Training spec = plain_sgd();
  auto group = collectives(memory_mesh(kWorkers, 1));
  std::vector<std::vector<float>> ended(kWorkers);
  on_all_ranks(kWorkers, [&](int rank) {
    Collective& collective = *group[static_cast<std::size_t>(rank)];
    QuadraticModel model(kParameters);
    const auto optimizer = learning::make_optimizer(spec.optimizer, kParameters);
    const auto sum = dense_sum(collective, {});
    LocalSteps local({collective, *sum, *optimizer},
                     {.steps = kSteps, .parameters = kParameters, .outer = kOuter});
    TrainLoop loop({.collective = collective,
                    .model = model,
                    .synchronizer = local,
                    .training = spec,
                    .data = data,
                    .local = &local},
                   {}, {});
    auto outcome = loop.run({});
    ASSERT_TRUE(outcome) << outcome.error().message;
    ended[static_cast<std::size_t>(rank)] = outcome->state.parameters;
  });
  EXPECT_EQ(ended[0], ended[1]);
  return ended[0];
}

// A round is a window: its clients begin with the model, train on the batches of the workers, and send what
// they changed to the strategy Nesterov.
std::vector<float> by_rounds(const learning::Dataset& data) {
  const spec::Training spec = plain_sgd();
  QuadraticModel model(kParameters);
  std::vector<float> global = model.initial_parameters(static_cast<std::uint64_t>(spec.seed));
  agg::FedOpt strategy(kParameters, kOuter);
  const std::int64_t examples = data.train.size();
  const std::int64_t batch = spec.batch_size * kWorkers;
  std::vector<float> gradient(kParameters);
  for (std::int64_t epoch = 0; epoch < spec.epochs; ++epoch) {
    const auto order = epoch_order(static_cast<std::uint64_t>(spec.seed), epoch, examples);
    for (std::int64_t begin = 0; begin < examples; begin += kSteps * batch) {
      for (std::int32_t client = 0; client < kWorkers; ++client) {
        const auto optimizer = learning::make_optimizer(spec.optimizer, kParameters);
        std::vector<float> mine = global;
        std::uint64_t trained = 0;
        for (std::int64_t at = begin; at < std::min(examples, begin + kSteps * batch); at += batch) {
          const Slice slice = slice_of(std::min(batch, examples - at), client, kWorkers);
          const auto rows = std::span<const std::int64_t>(order).subspan(
              static_cast<std::size_t>(at + slice.begin), static_cast<std::size_t>(slice.size()));
          static_cast<void>(model.gradient(mine, data.train, rows, gradient));
          optimizer->step(mine, gradient);
          trained += rows.size();
        }
        for (std::size_t i = 0; i < mine.size(); ++i) mine[i] -= global[i];
        EXPECT_TRUE(strategy.take({.client = client, .delta = mine, .examples = trained}));
      }
      auto next = strategy.finish(global);
      EXPECT_TRUE(next);
      if (next) global = *std::move(next);
    }
  }
  return global;
}

TEST(OneSpectrum, AJobWithLocalStepsEndsWithTheBitsOfRoundsOfFullParticipation) {
  const auto data = dataset(96, 0);  // shares are equal: weights are 1
  EXPECT_EQ(by_a_job(data), by_rounds(data));
}

}  // namespace
}  // namespace muster::worker::test
