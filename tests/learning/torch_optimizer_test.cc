// tests/learning/torch_optimizer_test.cc: our optimizers take the steps of libtorch's
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include "common/base/random.h"
#include "learning/optimizer.h"

namespace muster::learning {
namespace {

constexpr std::int64_t kCount = 257;

// Ten steps of both on the same made-up gradients.
void expect_same_steps(Optimizer& ours, torch::optim::Optimizer& theirs, torch::Tensor& parameter) {
  Random random(5);
  std::vector<float> flat(parameter.data_ptr<float>(), parameter.data_ptr<float>() + kCount);
  std::vector<float> gradient(flat.size());
  for (int step = 0; step < 10; ++step) {
    for (float& value : gradient) value = static_cast<float>(random.normal());
    parameter.mutable_grad() = torch::from_blob(gradient.data(), {kCount}).clone();
    theirs.step();
    ours.step(flat, gradient);
    for (std::int64_t i = 0; i < kCount; ++i)
      ASSERT_NEAR(flat[static_cast<std::size_t>(i)], parameter.data_ptr<float>()[i], 1e-6) << "step " << step;
  }
}

torch::Tensor fresh_parameter() { return torch::linspace(-1, 1, kCount).requires_grad_(true); }

TEST(Sgd, EqualsLibtorchWithAndWithoutMomentumAndDecay) {
  for (const double momentum : {0.0, 0.9}) {
    for (const double decay : {0.0, 0.01}) {
      auto parameter = fresh_parameter();
      torch::optim::SGD theirs({parameter},
                               torch::optim::SGDOptions(0.05).momentum(momentum).weight_decay(decay));
      const auto ours = make_optimizer(
          {.name = "SGD", .learning_rate = 0.05, .momentum = momentum, .weight_decay = decay}, kCount);
      expect_same_steps(*ours, theirs, parameter);
    }
  }
}

TEST(Adam, EqualsLibtorchWithAndWithoutDecay) {
  for (const double decay : {0.0, 0.01}) {
    auto parameter = fresh_parameter();
    torch::optim::Adam theirs({parameter}, torch::optim::AdamOptions(0.01).weight_decay(decay));
    const auto ours = make_optimizer({.name = "Adam", .learning_rate = 0.01, .weight_decay = decay}, kCount);
    expect_same_steps(*ours, theirs, parameter);
  }
}

TEST(AdamW, EqualsLibtorchWithAndWithoutDecay) {
  for (const double decay : {0.0, 0.1}) {
    auto parameter = fresh_parameter();
    torch::optim::AdamW theirs({parameter}, torch::optim::AdamWOptions(0.01).weight_decay(decay));
    const auto ours = make_optimizer({.name = "AdamW", .learning_rate = 0.01, .weight_decay = decay}, kCount);
    expect_same_steps(*ours, theirs, parameter);
  }
}

}  // namespace
}  // namespace muster::learning
