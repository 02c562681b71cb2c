// tests/learning/local_start_test.cc: a training that is corrected by control variates, or stopped before its
// end; which batches Per-FedAvg takes
#include <gmock/gmock.h>

#include <set>

#include "learning/control_variate.h"
#include "tests/learning/local_setting.h"

namespace muster::learning {
namespace {

// f(w) = a (w - c)^2 / 2, whatever the examples; remembers which it was asked for.
class QuadraticModel final : public Model {
 public:
  QuadraticModel(double a, double c) : a_(a), c_(c) {}
  std::span<const Tensor> tensors() const override { return tensors_; }
  std::int64_t parameter_count() const override { return 1; }
  std::vector<float> initial_parameters(std::uint64_t) const override { return {2}; }
  double gradient(std::span<const float> w, const Examples&, std::span<const std::int64_t> rows,
                  std::span<float> out) override {
    asked.emplace_back(rows.begin(), rows.end());
    const double away = static_cast<double>(w[0]) - c_;
    out[0] = static_cast<float>(a_ * away);
    return a_ * away * away / 2;
  }
  Evaluation evaluate(std::span<const float>, const Examples&) override { return {}; }

  std::vector<std::set<std::int64_t>> asked;

 private:
  double a_;
  double c_;
  std::vector<Tensor> tensors_{{.name = "w", .shape = {1}, .offset = 0, .size = 1}};
};

spec::ClientTraining plain(std::int64_t epochs, std::int64_t batch) {
  spec::ClientTraining spec;
  spec.local_epochs = epochs;
  spec.batch_size = batch;
  spec.optimizer.learning_rate = 0.1;
  return spec;
}

TEST(ControlVariates, CorrectEveryStepAndChangeByWhatTheTrainingCameTo) {
  QuadraticModel model(3, 1);
  const std::vector<float> global{2}, control{0.5F}, own{-0.25F};
  const auto update = train_locally(model, plain(2, 0), global, {}, rows_of(0, 9), 1, {},
                                    {.control_variates = true}, {.control = control, .own_control = own});
  ASSERT_TRUE(update) << update.error().message;
  EXPECT_EQ(update->steps, 2);
  double y = 2;
  for (int step = 0; step < 2; ++step) y -= 0.1 * (3 * (y - 1) + 0.25 + 0.5);
  EXPECT_NEAR(update->delta[0], y - 2, 1e-6);
  ASSERT_EQ(update->control_change.size(), 1U);
  EXPECT_NEAR(update->control_change[0], -0.5 + (2 - y) / (2 * 0.1), 1e-5);
}

TEST(ControlVariates, OfZeroAreFedAvgToTheBit) {
  const Setting setting;
  const std::vector<float> zeros(setting.global.size());
  const LocalUpdate corrected = setting.train({.control_variates = true}, {.control = zeros});
  EXPECT_EQ(corrected.delta, setting.train({}).delta);
  EXPECT_EQ(corrected.control_change.size(), setting.global.size());
  EXPECT_TRUE(setting.train({}).control_change.empty());
}

TEST(PartialTraining, StopsWhereItIsToldToAndSendsWhatItHas) {
  QuadraticModel model(3, 1);
  const std::vector<float> global{2};
  int questions = 0;
  const auto update = train_locally(model, plain(100, 3), global, {}, rows_of(0, 9), 1, {}, {},
                                    {.enough = [&] { return ++questions == 5; }});
  ASSERT_TRUE(update);
  EXPECT_TRUE(update->partial);
  EXPECT_EQ(update->steps, 5);
  EXPECT_EQ(update->examples, 9U) << "it weighs by what it holds";
  double w = 2;
  for (int step = 0; step < 5; ++step) w -= 0.1 * 3 * (w - 1);
  EXPECT_NEAR(update->delta[0], w - 2, 1e-6);
}

TEST(PartialTraining, MakesOneStepInAnyCaseAndIsWholeWhenItComesToItsEnd) {
  QuadraticModel model(3, 1);
  const std::vector<float> global{2};
  const auto hasty = train_locally(model, plain(1, 3), global, {}, rows_of(0, 9), 1, {}, {},
                                   {.enough = [] { return true; }});
  ASSERT_TRUE(hasty);
  EXPECT_EQ(hasty->steps, 1);
  EXPECT_TRUE(hasty->partial);
  const auto whole = train_locally(model, plain(1, 3), global, {}, rows_of(0, 9), 1, {}, {},
                                   {.enough = [] { return false; }});
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->steps, 3);
  EXPECT_FALSE(whole->partial);
}

TEST(PerFedAvg, AClientOfFewExamplesTakesSmallerBatchesRatherThanOneTwice) {
  const std::vector<float> global{2};
  for (const bool hessian_free : {false, true}) {
    QuadraticModel model(3, 1);
    LocalSettings settings;
    settings.meta = {.alpha = 0.01, .hessian_free = hessian_free};
    ASSERT_TRUE(train_locally(model, plain(1, 10), global, {}, rows_of(0, 6), 1, {}, settings));
    ASSERT_GE(model.asked.size(), 2U);
    for (const std::int64_t row : model.asked[0])
      EXPECT_FALSE(model.asked[1].contains(row)) << "of the adaptation and of the gradient";
    if (!hessian_free) continue;
    for (std::size_t other : {0, 1})
      for (const std::int64_t row : model.asked[2]) EXPECT_FALSE(model.asked[other].contains(row));
  }
  QuadraticModel model(3, 1);
  LocalSettings settings;
  settings.meta = {.alpha = 0.01};
  ASSERT_TRUE(train_locally(model, plain(1, 0), global, {}, rows_of(0, 6), 1, {}, settings));
  EXPECT_EQ(model.asked[0].size(), 6U) << "a full batch was asked for";
}

}  // namespace
}  // namespace muster::learning
