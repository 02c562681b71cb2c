// tests/device/lost_states_test.cc: SCAFFOLD goes to the optimum of all though clients lose what they keep
//
// Method: the real clients and the real server, without a network, on a strictly convex loss, whose optimum
// is one point.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "aggregator/strategy/scaffold.h"
#include "device/shell/local_trainer.h"

namespace muster {
namespace {

constexpr std::int32_t kClients = 4;

spec::Federation federation() {
  spec::Federation federation;
  federation.clients = kClients;
  federation.training.model.name = "softmax";
  federation.training.dataset.name = "synthetic";
  federation.training.dataset.synthetic.devices = kClients;
  federation.training.local_epochs = 4;
  federation.training.batch_size = 0;
  federation.training.optimizer.learning_rate = 0.05;
  federation.training.optimizer.weight_decay = 0.5;
  federation.training.seed = 3;
  federation.partition.kind = "Natural";
  return federation;
}

// The model after so many rounds of all; the first `losers` clients lose their states before round 30.
std::vector<float> play(std::int32_t losers) {
  const spec::Federation spec = federation();
  std::vector<std::unique_ptr<device::LocalTrainer>> trainers;
  for (std::int32_t client = 0; client < kClients; ++client) {
    auto trainer = device::LocalTrainer::load(spec, client, 1, 1);
    EXPECT_TRUE(trainer) << trainer.error().message;
    if (!trainer) return {};
    trainers.push_back(std::move(*trainer));
  }
  const std::size_t parameters = trainers[0]->parameter_count();
  agg::Scaffold server(parameters,
                       {.clients = kClients, .learning_rate = spec.training.optimizer.learning_rate}, 1);
  std::vector<float> model(parameters);
  for (std::int64_t round = 1; round <= 300; ++round) {
    for (std::int32_t client = 0; client < losers && round == 30; ++client)
      trainers[static_cast<std::size_t>(client)]->keep_states_in(std::make_unique<device::MemoryStates>());
    std::vector<float> global = model;
    global.insert(global.end(), server.broadcast()->begin(), server.broadcast()->end());
    device::TaskTicket task;
    task.round = round;
    task.settings = server.settings();
    task.counted_round = round - 1;
    for (std::int32_t client = 0; client < kClients; ++client) {
      auto update = trainers[static_cast<std::size_t>(client)]->train(0, client, task, global, {});
      EXPECT_TRUE(update) << update.error().message;
      if (!update) return {};
      EXPECT_TRUE(server.take(
          {.client = client, .delta = update->delta, .examples = update->examples, .steps = update->steps}));
    }
    auto next = server.finish(model);
    EXPECT_TRUE(next);
    if (!next) return {};
    model = std::move(*next);
  }
  for (std::int32_t client = 0; client < kClients; ++client)
    EXPECT_EQ(trainers[static_cast<std::size_t>(client)]->states_lost(), client < losers ? 1 : 0);
  return model;
}

double most_apart(const std::vector<float>& a, const std::vector<float>& b) {
  double most = a.size() == b.size() && !a.empty() ? 0 : 1e9;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
    most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return most;
}

TEST(LostStates, OfAllClientsLeaveTheOptimumWhereItIs) {
  EXPECT_LE(most_apart(play(kClients), play(0)), 1e-5);
}

}  // namespace
}  // namespace muster
