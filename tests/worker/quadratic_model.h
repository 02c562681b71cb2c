#pragma once  // tests/worker/quadratic_model.h: a learning::Model whose every value can be worked out by hand
#include <cmath>
#include <functional>

#include "learning/model.h"

namespace muster::worker::test {

// Loss of one example x: |p - x|^2 / 2, so the gradient over rows is p - mean(x). P = feature count.
class QuadraticModel : public learning::Model {
 public:
  explicit QuadraticModel(std::int64_t parameters) : tensors_{{"p", {parameters}, 0, parameters}} {}

  [[nodiscard]] std::span<const learning::Tensor> tensors() const override { return tensors_; }
  [[nodiscard]] std::int64_t parameter_count() const override { return tensors_[0].size; }
  [[nodiscard]] std::vector<float> initial_parameters(std::uint64_t seed) const override {
    return std::vector<float>(static_cast<std::size_t>(tensors_[0].size), static_cast<float>(seed % 5));
  }
  double gradient(std::span<const float> parameters, const learning::Examples& data,
                  std::span<const std::int64_t> rows, std::span<float> gradient) override {
    rows_seen.insert(rows_seen.end(), rows.begin(), rows.end());
    const auto width = parameters.size();
    double loss = 0;
    for (std::size_t i = 0; i < width; ++i) {
      double sum = 0;
      for (const std::int64_t row : rows) {
        const double distance = parameters[i] - data.features[static_cast<std::size_t>(row) * width + i];
        sum += distance;
        loss += distance * distance / 2;
      }
      gradient[i] = static_cast<float>(sum / static_cast<double>(rows.size()));
    }
    ++steps;
    return steps == nan_at_step ? std::nan("") : loss / static_cast<double>(rows.size());
  }
  learning::Evaluation evaluate(std::span<const float> parameters, const learning::Examples& data) override {
    if (before_evaluation) before_evaluation();
    learning::Evaluation result;
    for (std::int64_t row = 0; row < data.size(); ++row) {
      const double distance =
          parameters[0] - data.features[static_cast<std::size_t>(row) * parameters.size()];
      result.loss += distance * distance / 2 / static_cast<double>(data.size());
      result.accuracy +=
          (data.labels[static_cast<std::size_t>(row)] == 1 ? 1.0 : 0.0) / static_cast<double>(data.size());
    }
    return result;
  }

  std::vector<std::int64_t> rows_seen;
  int steps = 0;
  int nan_at_step = -1;
  std::function<void()> before_evaluation{};

 private:
  std::vector<learning::Tensor> tensors_;
};

}  // namespace muster::worker::test
