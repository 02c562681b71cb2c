#pragma once  // tests/aggregator/papers/quick_softmax.h: softmax regression in plain loops, for millions of
              // small steps
#include <memory>
#include <vector>

#include "learning/model.h"

namespace muster::papers {

// The built-in model `softmax` with the same parameters, whose steps on ten rows cost a microsecond instead
// of what libtorch's calls do. A test holds its losses and gradients against the built-in one's.
class QuickSoftmax final : public learning::Model {
 public:
  // REQUIRES: `like` is a softmax on `class_count` classes and `feature_count` float features, at most 16 and
  // a multiple of four.
  QuickSoftmax(std::unique_ptr<learning::Model> like, std::int64_t feature_count, std::int64_t class_count);

  [[nodiscard]] std::span<const learning::Tensor> tensors() const override { return like_->tensors(); }
  [[nodiscard]] std::int64_t parameter_count() const override { return like_->parameter_count(); }
  [[nodiscard]] std::vector<float> initial_parameters(std::uint64_t seed) const override {
    return like_->initial_parameters(seed);
  }
  [[nodiscard]] double gradient(std::span<const float> parameters, const learning::Examples& data,
                                std::span<const std::int64_t> rows, std::span<float> gradient) override;
  [[nodiscard]] double loss(std::span<const float> parameters, const learning::Examples& data,
                            std::span<const std::int64_t> rows) override;
  [[nodiscard]] learning::Evaluation evaluate(std::span<const float> parameters,
                                              const learning::Examples& data) override;
  // The same over some rows alone.
  [[nodiscard]] learning::Evaluation evaluate(std::span<const float> parameters,
                                              const learning::Examples& data,
                                              std::span<const std::int64_t> rows);

 private:
  static constexpr std::size_t kLanes = 16;  // classes, filled up so that the compiler makes SIMD of them
  void load(std::span<const float> parameters);
  // The loss of one example; `scores_` then holds exp(score - largest) of each class, `sum_` their sum.
  double forward(const float* x, std::int32_t label);

  std::unique_ptr<learning::Model> like_;
  std::size_t features_;
  std::size_t classes_;
  std::vector<float> transposed_;  // [features, kLanes]
  float biases_[kLanes] = {};
  float scores_[kLanes] = {};
  float sum_ = 0;
  bool right_ = false;  // the largest score is the label's
};

}  // namespace muster::papers
