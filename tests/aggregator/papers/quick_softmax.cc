// tests/aggregator/papers/quick_softmax.cc: the loops, with the classes as lanes
#include "tests/aggregator/papers/quick_softmax.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "common/base/check.h"
#include "common/base/vector_versions.h"

namespace muster::papers {
namespace {

// scores [16] += transposed [features, 16]^T x. REQUIRES: features is a multiple of four.
MUSTER_VECTOR_VERSIONS
void add_scores(const float* transposed, const float* x, std::size_t features, float* scores) {
  using Lanes [[gnu::vector_size(64)]] = float;
  Lanes sums[4] = {};  // four at once: additions wait for none before them
  for (std::size_t j = 0; j < features; j += 4) {
    for (std::size_t k = 0; k < 4; ++k) {
      Lanes weights;
      std::memcpy(&weights, transposed + (j + k) * 16, sizeof weights);
      sums[k] += weights * x[j + k];
    }
  }
  const Lanes sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  for (std::size_t c = 0; c < 16; ++c) scores[c] += sum[c];
}

// by_weight [classes, features] += flows x^T
MUSTER_VECTOR_VERSIONS
void add_outer(const float* flows, const float* x, std::size_t classes, std::size_t features,
               float* by_weight) {
  for (std::size_t c = 0; c < classes; ++c)
    for (std::size_t j = 0; j < features; ++j) by_weight[c * features + j] += flows[c] * x[j];
}

}  // namespace

QuickSoftmax::QuickSoftmax(std::unique_ptr<learning::Model> like, std::int64_t feature_count,
                           std::int64_t class_count)
    : like_(std::move(like)),
      features_(static_cast<std::size_t>(feature_count)),
      classes_(static_cast<std::size_t>(class_count)),
      transposed_(features_ * kLanes) {
  MUSTER_CHECK(classes_ <= kLanes && features_ % 4 == 0 &&
               like_->parameter_count() == (feature_count + 1) * class_count);
}

void QuickSoftmax::load(std::span<const float> parameters) {
  for (std::size_t c = 0; c < classes_; ++c)
    for (std::size_t j = 0; j < features_; ++j) transposed_[j * kLanes + c] = parameters[c * features_ + j];
  std::copy_n(parameters.begin() + static_cast<std::ptrdiff_t>(classes_ * features_), classes_, biases_);
}

double QuickSoftmax::forward(const float* x, std::int32_t label) {
  float scores[kLanes];
  std::copy_n(biases_, kLanes, scores);
  static_assert(kLanes == 16);
  add_scores(transposed_.data(), x, features_, scores);
  const float* const largest = std::max_element(scores, scores + classes_);
  right_ = largest - scores == label;
  const float shift = *largest;
  const float own = scores[label] - shift;
  sum_ = 0;
  for (std::size_t c = 0; c < classes_; ++c) sum_ += scores_[c] = std::exp(scores[c] - shift);
  return std::log(static_cast<double>(sum_)) - static_cast<double>(own);
}

double QuickSoftmax::gradient(std::span<const float> parameters, const learning::Examples& data,
                              std::span<const std::int64_t> rows, std::span<float> gradient) {
  load(parameters);
  std::fill(gradient.begin(), gradient.end(), 0.0F);
  const float share = 1.0F / static_cast<float>(rows.size());
  float* const by_bias = gradient.data() + classes_ * features_;
  double loss = 0;
  for (const std::int64_t row : rows) {
    const float* const x = data.features.data() + static_cast<std::size_t>(row) * features_;
    const std::int32_t label = data.labels[static_cast<std::size_t>(row)];
    loss += forward(x, label);
    const float scale = share / sum_;
    for (std::size_t c = 0; c < classes_; ++c) {
      scores_[c] = scale * scores_[c] - (static_cast<std::int32_t>(c) == label ? share : 0.0F);
      by_bias[c] += scores_[c];
    }
    add_outer(scores_, x, classes_, features_, gradient.data());
  }
  return loss / static_cast<double>(rows.size());
}

learning::Evaluation QuickSoftmax::evaluate(std::span<const float> parameters, const learning::Examples& data,
                                            std::span<const std::int64_t> rows) {
  if (rows.empty()) return {};
  load(parameters);
  learning::Evaluation sum;
  for (const std::int64_t row : rows) {
    sum.loss += forward(data.features.data() + static_cast<std::size_t>(row) * features_,
                        data.labels[static_cast<std::size_t>(row)]);
    sum.accuracy += right_ ? 1.0 : 0.0;
  }
  const auto count = static_cast<double>(rows.size());
  return {.loss = sum.loss / count, .accuracy = sum.accuracy / count};
}

double QuickSoftmax::loss(std::span<const float> parameters, const learning::Examples& data,
                          std::span<const std::int64_t> rows) {
  return evaluate(parameters, data, rows).loss;
}

learning::Evaluation QuickSoftmax::evaluate(std::span<const float> parameters,
                                            const learning::Examples& data) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(data.size()));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  return evaluate(parameters, data, rows);
}

}  // namespace muster::papers
