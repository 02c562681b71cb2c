// common/codec/magnitude.cc: compiled with -O3, so that the loops are vectorised
#include "common/codec/magnitude.h"

#include <algorithm>
#include <array>

#include "common/base/vector_versions.h"
#include "common/codec/arithmetic.h"

namespace muster::codec {

namespace {

constexpr int kBinShift = 20;  // leaves the exponent and three bits of the mantissa: eight bins an octave
constexpr std::size_t kBins = std::size_t{1} << (31 - kBinShift);

// Two tables, so that values of one bin, which often follow each other, do not wait for each other.
std::array<std::uint32_t, kBins> histogram(std::span<const float> values) {
  std::array<std::uint32_t, kBins> even{};
  std::array<std::uint32_t, kBins> odd{};
  for (std::size_t i = 0; i + 1 < values.size(); i += 2) {
    ++even[magnitude_bits(values[i]) >> kBinShift];
    ++odd[magnitude_bits(values[i + 1]) >> kBinShift];
  }
  if (values.size() % 2 == 1) ++even[magnitude_bits(values.back()) >> kBinShift];
  for (std::size_t bin = 0; bin < kBins; ++bin) even[bin] += odd[bin];
  return even;
}

MUSTER_VECTOR_VERSIONS
std::size_t count_at_least(const float* values, std::size_t size, std::uint32_t least) noexcept {
  std::size_t total = 0;
  for (std::size_t begin = 0; begin < size; begin += 4096) {  // counted in 32 bits, for wider vectors
    const std::size_t end = std::min(size, begin + 4096);
    std::uint32_t count = 0;
    for (std::size_t i = begin; i < end; ++i) count += magnitude_bits(values[i]) >= least ? 1 : 0;
    total += count;
  }
  return total;
}

// Writes the positions of the values whose magnitude bits are not below `least`, and past their end one that
// does not count. Few are, so blocks without any are skipped.
MUSTER_VECTOR_VERSIONS
void collect_at_least(const float* values, std::size_t size, std::uint32_t least,
                      std::uint32_t* positions) noexcept {
  constexpr std::size_t kBlock = 32;
  std::size_t i = 0;
  for (; i + kBlock <= size; i += kBlock) {
    std::uint32_t largest = 0;
    for (std::size_t j = 0; j < kBlock; ++j) {
      const std::uint32_t bits = magnitude_bits(values[i + j]);
      largest = largest > bits ? largest : bits;
    }
    if (largest < least) continue;
    for (std::size_t j = 0; j < kBlock; ++j) {
      *positions = static_cast<std::uint32_t>(i + j);
      positions += magnitude_bits(values[i + j]) >= least ? 1 : 0;
    }
  }
  for (; i < size; ++i) {
    *positions = static_cast<std::uint32_t>(i);
    positions += magnitude_bits(values[i]) >= least ? 1 : 0;
  }
}

std::vector<std::uint32_t> positions_at_least(std::span<const float> values, std::uint32_t least,
                                              std::size_t count) {
  std::vector<std::uint32_t> positions(count + 1);
  collect_at_least(values.data(), values.size(), least, positions.data());
  positions.resize(count);
  return positions;
}

// Keeps `count` of the positions, which are more.
void keep_largest(std::span<const float> values, std::size_t count, std::vector<std::uint32_t>& positions) {
  std::vector<std::uint32_t> magnitudes(positions.size());
  std::transform(positions.begin(), positions.end(), magnitudes.begin(),
                 [&](std::uint32_t position) { return magnitude_bits(values[position]); });
  const auto last = magnitudes.begin() + static_cast<std::ptrdiff_t>(count) - 1;
  std::nth_element(magnitudes.begin(), last, magnitudes.end(), std::greater<>());
  const std::uint32_t limit = *last;
  // Of those at the limit the first ones: as many as the greater ones, all before `last` but for some, leave
  // room for.
  auto room = std::count(magnitudes.begin(), last + 1, limit);
  std::erase_if(positions, [&](std::uint32_t position) {
    const std::uint32_t bits = magnitude_bits(values[position]);
    return bits < limit || (bits == limit && room-- <= 0);
  });
}

}  // namespace

std::vector<std::uint32_t> largest_positions(std::span<const float> values, std::size_t count) {
  const auto bins = histogram(values);
  std::size_t bin = kBins;
  std::size_t candidates = 0;
  while (candidates < count) candidates += bins[--bin];
  auto positions = positions_at_least(values, static_cast<std::uint32_t>(bin << kBinShift), candidates);
  if (candidates > count) keep_largest(values, count, positions);
  return positions;
}

std::vector<std::uint32_t> positions_above(std::span<const float> values, float threshold) {
  const std::uint32_t least = magnitude_bits(threshold) + 1;
  return positions_at_least(values, least, count_at_least(values.data(), values.size(), least));
}

}  // namespace muster::codec
