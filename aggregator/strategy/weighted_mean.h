#pragma once  // aggregator/strategy/weighted_mean.h: the mean of vectors that come one after another
#include <cstddef>
#include <span>
#include <vector>

namespace muster::agg {

// sum(weight_k values_k) / sum(weight_k). Memory: P values, whatever the number of vectors: the mean of what
// has come, which each vector moves by its share (West, CACM 22(9), 1979). None before the first.
//
// A fold is computed in float64 and rounded once, to Real. So the mean of n vectors of float32 is off by at
// most n * 2^-24 of the largest value among them, for any order of arrival, and by about sqrt(n) * 2^-24 of
// the mean as a rule; the same order gives the same bits. A mean, unlike a sum, cannot overflow.
template <typename Real>
class WeightedMean {
 public:
  explicit WeightedMean(std::size_t parameters) : parameters_(parameters) {}
  // Of scale * values. REQUIRES: values [P]; weight > 0 and finite, as the sum of all weights is.
  void fold(std::span<const Real> values, double weight, double scale = 1);
  [[nodiscard]] bool empty() const { return weight_ == 0; }
  // The mean [P], whose memory is the caller's; empty again.
  [[nodiscard]] std::vector<Real> take();

 private:
  std::size_t parameters_;
  std::vector<Real> mean_;
  double weight_ = 0;  // behind it
};

extern template class WeightedMean<float>;
extern template class WeightedMean<double>;  // for tests against formulas

}  // namespace muster::agg
