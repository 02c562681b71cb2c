// common/codec/orthogonalize.cc: compiled with -O3, so that the loops are vectorised
#include "common/codec/orthogonalize.h"

#include <cmath>

#include "common/base/check.h"
#include "common/base/vector_versions.h"
#include "common/codec/kernels.h"
#include "common/codec/levels.h"

namespace muster::codec {

namespace {

// What is left of a column after the others were taken out is rounding noise below this part of it.
constexpr double kDependent = 1e-6;

// Takes the directions of the columns before it out, and gives it length 1. False: nothing was left of it.
bool normalize(std::span<float> columns, std::size_t length, std::size_t index) {
  float* const column = columns.data() + index * length;
  const double before = std::sqrt(dot(column, column, length));
  for (std::size_t other = 0; other < index; ++other) {
    const float* const direction = columns.data() + other * length;
    kernels::add_weighted(column, direction, static_cast<float>(-dot(column, direction, length)), length);
  }
  const double after = std::sqrt(dot(column, column, length));
  if (!(after > kDependent * before) || !std::isfinite(after)) return false;
  for (std::size_t i = 0; i < length; ++i) column[i] = static_cast<float>(column[i] / after);
  return true;
}

}  // namespace

MUSTER_VECTOR_VERSIONS
double dot(const float* a, const float* b, std::size_t count) noexcept {
  constexpr std::size_t kLanes = 8;
  double lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
  for (std::size_t lane = 0; i + lane < count; ++lane)
    lanes[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
  for (std::size_t half = kLanes / 2; half > 0; half /= 2)
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  return lanes[0];
}

void draw_uniform(std::span<float> values, const Key& key) {
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = 2 * rounding_threshold(rounding_draw(key, i)) - 1;
}

void orthogonalize(std::span<float> columns, std::size_t length, const Key& key) {
  if (length == 0) return;
  MUSTER_CHECK(columns.size() % length == 0 && columns.size() / length <= length);
  constexpr std::uint64_t kTries = 4;  // a random column depends on the others once in a great many
  const std::size_t groups = (length + kGroupValues - 1) / kGroupValues;
  for (std::size_t index = 0; index < columns.size() / length; ++index) {
    for (std::uint64_t tried = 0; !normalize(columns, length, index) && tried < kTries; ++tried) {
      Key redraw = key;
      redraw.first += (index * kTries + tried) * groups * kGroupValues;
      draw_uniform(columns.subspan(index * length, length), redraw);
    }
  }
}

}  // namespace muster::codec
