#pragma once  // aggregator/strategy/coordinate_wise.h: the median and the trimmed mean of each parameter
#include <cstddef>
#include <cstdint>
#include <span>

namespace muster::agg {

// Yin, Chen, Ramchandran & Bartlett 2018, "Byzantine-Robust Distributed Learning", Definitions 1 and 2: of
// each parameter by itself, every update counting alike, whatever number of examples it claims. `updates` is
// [n, P] row-major and finite, n >= 1. The same updates in another order give the same bits. O(P n log n)
// time, kBlock * n values of memory. Real: float in programs, double in tests of formulas.

// The middle value; of an even number the mean of the two in the middle.
template <typename Real>
void coordinate_median(std::span<const Real> updates, std::size_t n, std::span<Real> median);

// The mean of what is left without the `cut` smallest and the `cut` largest. REQUIRES: n > 2 cut.
template <typename Real>
void trimmed_mean(std::span<const Real> updates, std::size_t n, std::size_t cut, std::span<Real> mean);

// floor(fraction * n), the product rounded to 1e-9 first: 0.29 * 100 is below 29 in binary.
[[nodiscard]] std::size_t trimmed_count(double fraction, std::size_t n);

extern template void coordinate_median(std::span<const float>, std::size_t, std::span<float>);
extern template void coordinate_median(std::span<const double>, std::size_t, std::span<double>);
extern template void trimmed_mean(std::span<const float>, std::size_t, std::size_t, std::span<float>);
extern template void trimmed_mean(std::span<const double>, std::size_t, std::size_t, std::span<double>);

}  // namespace muster::agg
