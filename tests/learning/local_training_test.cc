// tests/learning/local_training_test.cc: a client's round
#include "learning/local_training.h"

#include <gtest/gtest.h>

#include "learning/optimizer.h"
#include "tests/learning/local_setting.h"

namespace muster::learning {
namespace {

// McMahan 2017, section 2: one full-batch step on every client, averaged by examples, is one step of
// gradient descent on all the data.
TEST(LocalTraining, AveragedOverClientsWithOneFullBatchStepIsOneStepOfGradientDescent) {
  Setting setting;
  setting.spec.local_epochs = 1;
  setting.spec.batch_size = 0;
  const std::vector<std::vector<std::int64_t>> clients{rows_of(0, 13), rows_of(13, 20), rows_of(20, 60)};
  std::vector<double> averaged(setting.global.begin(), setting.global.end());
  for (std::size_t c = 0; c < clients.size(); ++c) {
    const auto update =
        train_locally(*setting.model, setting.spec, setting.global, setting.data, clients[c], c, {});
    ASSERT_TRUE(update);
    EXPECT_EQ(update->examples, clients[c].size());
    for (std::size_t i = 0; i < averaged.size(); ++i)
      averaged[i] += static_cast<double>(update->delta[i]) * static_cast<double>(clients[c].size()) / 60.0;
  }
  auto expected = setting.global;
  std::vector<float> gradient(expected.size());
  (void)setting.model->gradient(setting.global, setting.data, rows_of(0, 60), gradient);
  make_optimizer(setting.spec.optimizer, setting.model->parameter_count())->step(expected, gradient);
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(averaged[i], static_cast<double>(expected[i]), 1e-6);
}

TEST(LocalTraining, IsAFunctionOfItsKey) {
  Setting setting;
  const auto rows = rows_of(5, 50);
  const auto run = [&](std::uint64_t key) {
    return train_locally(*setting.model, setting.spec, setting.global, setting.data, rows, key, {})->delta;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(LocalTraining, LowersTheLoss) {
  Setting setting;
  const auto rows = rows_of(0, 60);
  const double before = setting.model->evaluate(setting.global, setting.data).loss;
  setting.spec.local_epochs = 10;
  const auto update = train_locally(*setting.model, setting.spec, setting.global, setting.data, rows, 1, {});
  ASSERT_TRUE(update);
  for (std::size_t i = 0; i < setting.global.size(); ++i) setting.global[i] += update->delta[i];
  EXPECT_LT(setting.model->evaluate(setting.global, setting.data).loss, before);
}

TEST(LocalTraining, StopsBetweenBatchesWhenCancelled) {
  Setting setting;
  int asked = 0;
  const auto update = train_locally(*setting.model, setting.spec, setting.global, setting.data,
                                    rows_of(0, 60), 1, [&] { return ++asked == 3; });
  ASSERT_FALSE(update);
  EXPECT_EQ(update.error().code, Code::kAborted);
  EXPECT_EQ(asked, 3);
}

TEST(LocalTraining, NamesTheEpochAndBatchOfALossThatIsNotFinite) {
  Setting setting;
  setting.global[3] = std::numeric_limits<float>::quiet_NaN();
  const auto update =
      train_locally(*setting.model, setting.spec, setting.global, setting.data, rows_of(0, 9), 1, {});
  ASSERT_FALSE(update);
  EXPECT_EQ(update.error().code, Code::kDataLoss);
  EXPECT_NE(update.error().message.find("epoch 1, batch 1"), std::string::npos) << update.error().message;
}

TEST(LocalTraining, RefusesAClientWithoutExamples) {
  Setting setting;
  EXPECT_EQ(train_locally(*setting.model, setting.spec, setting.global, setting.data, {}, 1, {}).error().code,
            Code::kInvalidArgument);
}

}  // namespace
}  // namespace muster::learning
