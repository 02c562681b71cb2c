// aggregator/strategy/krum.cc: all distances in one pass over the updates, then the scores
#include "aggregator/strategy/krum.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "common/base/check.h"

namespace muster::agg {
namespace {

// Parameters at a time: a block of a pair of updates stays in the first cache.
constexpr std::size_t kBlock = 2048;
constexpr std::size_t kLanes = 8;  // sums side by side, as the compiler may not reorder one

template <typename Real>
double squared_distance(const Real* a, const Real* b, std::size_t count) {
  std::array<double, kLanes> lanes{};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const double apart = static_cast<double>(a[i + lane]) - static_cast<double>(b[i + lane]);
      lanes[lane] += apart * apart;
    }
  }
  double sum = std::accumulate(lanes.begin(), lanes.end(), 0.0);
  for (; i < count; ++i) {
    const double apart = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += apart * apart;
  }
  return sum;
}

}  // namespace

template <typename Real>
std::vector<double> krum_scores(std::span<const Real> updates, std::size_t n, std::size_t f) {
  MUSTER_CHECK(n >= f + 3 && updates.size() % n == 0);
  const std::size_t parameters = updates.size() / n;
  std::vector<double> distances(n * n);  // symmetric
  for (std::size_t begin = 0; begin < parameters; begin += kBlock) {
    const std::size_t count = std::min(kBlock, parameters - begin);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = i + 1; j < n; ++j) {
        const Real* const first = updates.data() + i * parameters + begin;
        const Real* const second = updates.data() + j * parameters + begin;
        distances[i * n + j] += squared_distance(first, second, count);
      }
    }
  }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < i; ++j) distances[i * n + j] = distances[j * n + i];
  std::vector<double> scores(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::span<double> row = std::span(distances).subspan(i * n, n);
    std::swap(row[i], row[0]);  // its distance to itself does not count
    std::sort(row.begin() + 1, row.end());
    scores[i] = std::accumulate(row.begin() + 1, row.begin() + static_cast<std::ptrdiff_t>(n - f - 1), 0.0);
  }
  return scores;
}

std::vector<std::size_t> krum_choice(std::span<const double> scores, std::span<const std::int32_t> clients,
                                     std::size_t m) {
  MUSTER_CHECK(m >= 1 && m <= scores.size() && clients.size() == scores.size());
  std::vector<std::size_t> rows(scores.size());
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  std::sort(rows.begin(), rows.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(scores[a], clients[a]) < std::pair(scores[b], clients[b]);
  });
  rows.resize(m);
  return rows;
}

void mean_of_rows(std::span<const float> updates, std::span<const std::size_t> rows, std::span<float> mean) {
  const std::size_t parameters = mean.size();
  for (std::size_t i = 0; i < parameters; ++i) {
    double sum = 0;
    for (const std::size_t row : rows) sum += static_cast<double>(updates[row * parameters + i]);
    mean[i] = static_cast<float>(sum / static_cast<double>(rows.size()));
  }
}

template std::vector<double> krum_scores(std::span<const float>, std::size_t, std::size_t);
template std::vector<double> krum_scores(std::span<const double>, std::size_t, std::size_t);

}  // namespace muster::agg
