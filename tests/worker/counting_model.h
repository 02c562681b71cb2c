#pragma once  // tests/worker/counting_model.h: a training whose parameters are how often each example was
              // trained on
#include <algorithm>
#include <cmath>

#include "learning/model.h"
#include "learning/optimizer.h"

namespace muster::worker::test {

inline constexpr std::int64_t kExamples = 97;

// A linear model of one-hot examples: the gradient of example i is -1 at parameter i.
class CountingModel final : public learning::Model {
 public:
  [[nodiscard]] std::span<const learning::Tensor> tensors() const override { return tensors_; }
  [[nodiscard]] std::int64_t parameter_count() const override { return kExamples; }
  [[nodiscard]] std::vector<float> initial_parameters(std::uint64_t /*seed*/) const override {
    return std::vector<float>(kExamples, 0.0F);
  }
  double gradient(std::span<const float> /*parameters*/, const learning::Examples& /*data*/,
                  std::span<const std::int64_t> rows, std::span<float> gradient) override {
    std::ranges::fill(gradient, 0.0F);
    for (const std::int64_t row : rows)
      gradient[static_cast<std::size_t>(row)] -= 1.0F / static_cast<float>(rows.size());
    return 1;
  }
  learning::Evaluation evaluate(std::span<const float> /*parameters*/,
                                const learning::Examples& /*data*/) override {
    return {};
  }

 private:
  std::vector<learning::Tensor> tensors_{{"count", {kExamples}, 0, kExamples}};
};

// Adds to each parameter how often its example is in the batch. The gradient is a mean, so the smallest of
// its values is that of an example that is there once.
class CountingOptimizer final : public learning::Optimizer {
 public:
  void step(std::span<float> parameters, std::span<const float> gradient) override {
    float once = 0;
    for (const float value : gradient)
      if (value < 0 && (once == 0 || value > once)) once = value;
    for (std::size_t i = 0; once < 0 && i < parameters.size(); ++i)
      parameters[i] += std::round(gradient[i] / once);
    ++steps_;
  }
  [[nodiscard]] std::vector<Slot> slots() override { return {}; }
  [[nodiscard]] std::int64_t steps() const override { return steps_; }
  void set_steps(std::int64_t steps) override { steps_ = steps; }

 private:
  std::int64_t steps_ = 0;
};

inline learning::Dataset one_hot() {
  learning::Dataset data;
  data.train.feature_count = 1;
  data.train.class_count = 2;
  data.train.features.assign(kExamples, 0.0F);
  data.train.labels.assign(kExamples, 0);
  data.digest = "one-hot";
  return data;
}

}  // namespace muster::worker::test
