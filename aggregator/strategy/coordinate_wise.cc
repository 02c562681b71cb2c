// aggregator/strategy/coordinate_wise.cc: sorts the values of each parameter, some parameters at a time
#include "aggregator/strategy/coordinate_wise.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/base/check.h"

namespace muster::agg {
namespace {

constexpr std::size_t kBlock = 256;  // parameters at a time: whole cache lines are read from each update

// `reduce` makes one value of the n sorted ones of a parameter.
template <typename Real, typename Reduce>
void of_each_parameter(std::span<const Real> updates, std::size_t n, std::span<Real> out, Reduce reduce) {
  const std::size_t parameters = out.size();
  MUSTER_CHECK(n > 0 && updates.size() == n * parameters);
  std::vector<Real> columns(kBlock * n);
  for (std::size_t begin = 0; begin < parameters; begin += kBlock) {
    const std::size_t width = std::min(kBlock, parameters - begin);
    for (std::size_t row = 0; row < n; ++row)
      for (std::size_t i = 0; i < width; ++i) columns[i * n + row] = updates[row * parameters + begin + i];
    for (std::size_t i = 0; i < width; ++i) {
      const std::span<Real> column = std::span(columns).subspan(i * n, n);
      std::sort(column.begin(), column.end());
      out[begin + i] = static_cast<Real>(reduce(std::span<const Real>(column)));
    }
  }
}

}  // namespace

template <typename Real>
void coordinate_median(std::span<const Real> updates, std::size_t n, std::span<Real> median) {
  of_each_parameter(updates, n, median, [n](std::span<const Real> sorted) {
    const auto upper = static_cast<double>(sorted[n / 2]);
    return n % 2 == 1 ? upper : (static_cast<double>(sorted[n / 2 - 1]) + upper) / 2;
  });
}

template <typename Real>
void trimmed_mean(std::span<const Real> updates, std::size_t n, std::size_t cut, std::span<Real> mean) {
  MUSTER_CHECK(n > 2 * cut);
  of_each_parameter(updates, n, mean, [n, cut](std::span<const Real> sorted) {
    double sum = 0;
    for (std::size_t i = cut; i < n - cut; ++i) sum += static_cast<double>(sorted[i]);
    return sum / static_cast<double>(n - 2 * cut);
  });
}

std::size_t trimmed_count(double fraction, std::size_t n) {
  return static_cast<std::size_t>(std::floor(fraction * static_cast<double>(n) + 1e-9));
}

template void coordinate_median(std::span<const float>, std::size_t, std::span<float>);
template void coordinate_median(std::span<const double>, std::size_t, std::span<double>);
template void trimmed_mean(std::span<const float>, std::size_t, std::size_t, std::span<float>);
template void trimmed_mean(std::span<const double>, std::size_t, std::size_t, std::span<double>);

}  // namespace muster::agg
