// aggregator/strategy/weighted_mean.cc: the loop over an update, written so that the compiler makes SIMD of
// it
#include "aggregator/strategy/weighted_mean.h"

#include <utility>

#include "common/base/check.h"

namespace muster::agg {

template <typename Real>
void WeightedMean<Real>::fold(std::span<const Real> values, double weight, double scale) {
  MUSTER_CHECK(values.size() == parameters_ && weight > 0);
  if (empty()) mean_.assign(parameters_, Real{0});
  weight_ += weight;
  const double share = weight / weight_;
  Real* const to = mean_.data();
  const Real* const from = values.data();
  const std::size_t count = parameters_;
  for (std::size_t i = 0; i < count; ++i) {
    const auto before = static_cast<double>(to[i]);
    to[i] = static_cast<Real>(before + share * (scale * static_cast<double>(from[i]) - before));
  }
}

template <typename Real>
std::vector<Real> WeightedMean<Real>::take() {
  weight_ = 0;
  return std::exchange(mean_, {});
}

template class WeightedMean<float>;
template class WeightedMean<double>;

}  // namespace muster::agg
