// tests/learning/meta_gradient_test.cc: Per-FedAvg on functions whose every derivative is known
#include "learning/meta_gradient.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "learning/local_training.h"
#include "tests/learning/examples.h"

namespace muster::learning {
namespace {

double of_quartic(double w) { return w * w * w; }     // f = w^4 / 4
double of_parabola(double w) { return 3 * (w - 1); }  // f = 1.5 (w - 1)^2

double meta(const MetaSettings& settings, double (*derivative)(double), double w) {
  double result = 0;
  static_cast<void>(meta_gradient<double>(
      settings,
      [&](MetaBatch, std::span<const double> at, std::span<double> out) {
        out[0] = derivative(at[0]);
        return 0.0;
      },
      std::span(&w, 1), std::span(&result, 1)));
  return result;
}

// Closed form: two clients, alpha .1, beta .05, two local steps, plain mean, from w = 1.5.
TEST(PerFedAvg, OfTheFirstOrderIsTheClosedForm) {
  double w = 1.5;
  for (const double expected : {1.37450071383822, 1.27086011761557, 1.18610144155115}) {
    double sum = 0;
    for (const auto derivative : {of_quartic, of_parabola}) {
      double local = w;
      for (int step = 0; step < 2; ++step) local -= 0.05 * meta({.alpha = 0.1}, derivative, local);
      sum += local;
    }
    w = sum / 2;
    EXPECT_NEAR(w, expected, 1e-9);
  }
}

// v - alpha H v with v = f'(w - alpha f'(w)).
TEST(PerFedAvg, WithoutAHessianTakesItsProductFromGradients) {
  const MetaSettings settings{.alpha = 0.1, .hessian_free = true};
  const double v = of_parabola(2 - 0.1 * of_parabola(2));
  EXPECT_NEAR(meta(settings, of_parabola, 2), v - 0.1 * 3 * v, 1e-9) << "exact, as f''' is 0";
  const double u = of_quartic(1.5 - 0.1 * of_quartic(1.5));
  EXPECT_NEAR(meta(settings, of_quartic, 1.5), u - 0.1 * 3 * 1.5 * 1.5 * u, 1e-6) << "to the square of delta";
}

TEST(PerFedAvg, TakesThreeBatches) {
  std::vector<MetaBatch> asked;
  double w = 1;
  double out = 0;
  const double loss = meta_gradient<double>(
      {.alpha = 0.1, .hessian_free = true},
      [&](MetaBatch batch, std::span<const double>, std::span<double> gradient) {
        asked.push_back(batch);
        gradient[0] = 1;
        return static_cast<double>(asked.size());
      },
      std::span(&w, 1), std::span(&out, 1));
  EXPECT_EQ(asked, (std::vector<MetaBatch>{MetaBatch::kAdaptation, MetaBatch::kGradient, MetaBatch::kHessian,
                                           MetaBatch::kHessian}));
  EXPECT_EQ(loss, 2) << "after the adaptation";
}

// The loss after one step of adaptation is what falls.
TEST(PerFedAvg, MakesAModelThatAdaptsWell) {
  const Examples data = bright_bands(60);
  const auto model = *make_model({.name = "cnn"}, data);
  const auto global = model->initial_parameters(2);
  spec::ClientTraining spec;
  spec.local_epochs = 5;
  spec.batch_size = 7;
  spec.optimizer.learning_rate = 0.05;
  const auto adapted_loss = [&](std::vector<float> w) {
    std::vector<float> gradient(w.size());
    static_cast<void>(model->gradient(w, data, rows_of(0, 60), gradient));
    for (std::size_t i = 0; i < w.size(); ++i) w[i] -= 0.05F * gradient[i];
    return model->evaluate(w, data).loss;
  };
  for (const bool hessian_free : {false, true}) {
    LocalSettings settings;
    settings.meta = {.alpha = 0.05, .hessian_free = hessian_free};
    const auto update = train_locally(*model, spec, global, data, rows_of(0, 60), 1, {}, settings);
    ASSERT_TRUE(update) << update.error().message;
    auto trained = global;
    for (std::size_t i = 0; i < trained.size(); ++i) trained[i] += update->delta[i];
    EXPECT_LT(adapted_loss(trained), 0.9 * adapted_loss(global)) << hessian_free;
  }
}

}  // namespace
}  // namespace muster::learning
