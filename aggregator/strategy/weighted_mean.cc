// aggregator/strategy/weighted_mean.cc: the loop over an update, written so that the compiler makes SIMD of
// it
#include "aggregator/strategy/weighted_mean.h"

#include <type_traits>
#include <utility>

#include "common/base/check.h"
#include "common/base/vector_versions.h"

namespace muster::agg {
namespace {

// mean [count] += share (scale values - mean)
[[gnu::always_inline]] inline void move_by(auto* mean, const auto* values, std::size_t count, double share,
                                           double scale) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto before = static_cast<double>(mean[i]);
    mean[i] = static_cast<std::remove_reference_t<decltype(*mean)>>(
        before + share * (scale * static_cast<double>(values[i]) - before));
  }
}

MUSTER_VECTOR_VERSIONS
void move_mean(float* mean, const float* values, std::size_t count, double share, double scale) {
  move_by(mean, values, count, share, scale);
}
MUSTER_VECTOR_VERSIONS
void move_mean(double* mean, const double* values, std::size_t count, double share, double scale) {
  move_by(mean, values, count, share, scale);
}

}  // namespace

template <typename Real>
void WeightedMean<Real>::fold(std::span<const Real> values, double weight, double scale) {
  MUSTER_CHECK(values.size() == parameters_ && weight > 0);
  if (empty()) mean_.assign(parameters_, Real{0});
  weight_ += weight;
  move_mean(mean_.data(), values.data(), parameters_, weight / weight_, scale);
}

template <typename Real>
std::vector<Real> WeightedMean<Real>::take() {
  weight_ = 0;
  return std::exchange(mean_, {});
}

template class WeightedMean<float>;
template class WeightedMean<double>;

}  // namespace muster::agg
