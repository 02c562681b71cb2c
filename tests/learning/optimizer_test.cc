// tests/learning/optimizer_test.cc: the optimizers' state, and their steps by hand
#include "learning/optimizer.h"

#include <gtest/gtest.h>

namespace muster::learning {
namespace {

TEST(Sgd, TakesTheStepsOfTheFormula) {
  const auto sgd =
      make_optimizer({.name = "SGD", .learning_rate = 0.5, .momentum = 0.5, .weight_decay = 0.25}, 1);
  std::vector<float> w{2.0F};
  sgd->step(w, std::vector<float>{1.0F});  // v = 1 + 0.25 * 2 = 1.5, w = 2 - 0.75
  EXPECT_FLOAT_EQ(w[0], 1.25F);
  sgd->step(w, std::vector<float>{1.0F});  // v = 0.75 + 1 + 0.3125 = 2.0625, w = 1.25 - 1.03125
  EXPECT_FLOAT_EQ(w[0], 0.21875F);
  EXPECT_EQ(sgd->steps(), 2);
}

TEST(Adam, MovesByTheLearningRateOnItsFirstStep) {
  const auto adam = make_optimizer({.name = "Adam", .learning_rate = 0.01}, 2);
  std::vector<float> w{1.0F, 1.0F};
  adam->step(w, std::vector<float>{0.001F, -50.0F});
  EXPECT_NEAR(w[0], 0.99F, 1e-6);
  EXPECT_NEAR(w[1], 1.01F, 1e-6);
}

TEST(Optimizer, ContinuesFromRestoredSlotsWithTheSameBits) {
  for (const char* name : {"SGD", "Adam"}) {
    const spec::Optimizer spec{.name = name, .learning_rate = 0.1, .momentum = 0.9};
    const auto first = make_optimizer(spec, 3);
    std::vector<float> w{1, 2, 3};
    first->step(w, std::vector<float>{1, -1, 2});
    const auto second = make_optimizer(spec, 3);
    auto from = first->slots();
    auto to = second->slots();
    ASSERT_EQ(from.size(), to.size());
    for (std::size_t i = 0; i < from.size(); ++i) {
      EXPECT_EQ(from[i].name, to[i].name);
      std::copy(from[i].values.begin(), from[i].values.end(), to[i].values.begin());
    }
    second->set_steps(first->steps());
    auto copy = w;
    first->step(w, std::vector<float>{3, 1, 1});
    second->step(copy, std::vector<float>{3, 1, 1});
    EXPECT_EQ(w, copy) << name;
  }
}

TEST(Sgd, KeepsNoStateWithoutMomentum) { EXPECT_TRUE(make_optimizer({.name = "SGD"}, 3)->slots().empty()); }

}  // namespace
}  // namespace muster::learning
