#pragma once  // common/codec/levels.h: stochastic rounding of a magnitude to a grid of integers or of powers
              // of two
#include <cstdint>

#include "common/codec/arithmetic.h"

namespace muster::codec {

// Brings magnitudes of a group to [0, top], up to one rounding: |v| * boost * inverse.
struct Grid {
  float boost = 1;  // a power of two: keeps tiny and huge groups where `inverse` is a normal number
  float inverse = 0;
};

// largest: of the group's magnitudes, finite. An empty grid (all zero) maps all to 0.
MUSTER_ARITHMETIC Grid grid_of(float largest, float top) {
  const float boost = largest < 0x1p-60F ? 0x1p64F : largest > 0x1p60F ? 0x1p-64F : 1.0F;
  return {boost, largest > 0 ? top / (largest * boost) : 0.0F};
}

// Uniform in (0, 1) by steps of 2^-16, from their middle: a value is rounded up with a probability within
// 2^-17 of its distance from the level below, and one that is a level stays it.
MUSTER_ARITHMETIC float rounding_threshold(std::uint16_t draw) {
  return (static_cast<float>(static_cast<std::int32_t>(draw)) + 0.5F) * 0x1p-16F;
}

// One of the two levels 0, 1, ..., top beside |value|: QSGD's rule, Alistarh et al., NeurIPS 2017,
// section 3.1, with the largest magnitude of the group in place of its norm, so that the variance is smaller.
MUSTER_ARITHMETIC std::int32_t integer_level(float value, Grid grid, std::int32_t top, std::uint16_t draw) {
  const float place = float_of(magnitude_bits(value)) * grid.boost * grid.inverse;
  const auto below = static_cast<std::int32_t>(place);
  const std::int32_t up = rounding_threshold(draw) < place - static_cast<float>(below) ? 1 : 0;
  return below + up < top ? below + up : top;
}

// E3M0: no mantissa, three bits of exponent. Level 0 is zero, level e in 1..7 is 2^(e-7) of the largest
// magnitude. The format of the outer gradients of Streaming DiLoCo, Douillard et al. 2025, there rounded to
// nearest. grid: with top 1.
MUSTER_ARITHMETIC std::int32_t e3m0_level(float value, Grid grid, std::uint16_t draw) {
  const float scaled = float_of(magnitude_bits(value)) * grid.boost * grid.inverse;
  const float place = scaled < 1.0F ? scaled : 1.0F;
  const std::uint32_t bits = bits_of(place);
  const bool below_least = place < 0x1p-6F;
  const std::int32_t level = below_least ? 0 : static_cast<std::int32_t>(bits >> 23) - 127 + 7;
  // How far it is to the next level, in 2^-23.
  const auto within_least = static_cast<std::int32_t>(place * 0x1p29F);
  const std::int32_t within = below_least ? within_least : static_cast<std::int32_t>(bits & 0x7f'ffffU);
  return level + (static_cast<std::int32_t>(draw) * 128 + 64 < within ? 1 : 0);
}

// What the level is worth, as a part of the largest magnitude.
MUSTER_ARITHMETIC float e3m0_magnitude(std::uint32_t level) {
  return level == 0 ? 0.0F : float_of((level + 120U) << 23);
}

// A code of `bits` bits: the level, and above it the sign.
MUSTER_ARITHMETIC std::uint8_t code_of(std::int32_t level, float value, int bits) {
  const std::uint32_t sign = (bits_of(value) >> 31) << (bits - 1);
  return static_cast<std::uint8_t>(static_cast<std::uint32_t>(level) | sign);
}

MUSTER_ARITHMETIC float signed_value(float magnitude, std::uint8_t code, int bits) {
  const std::uint32_t sign = (static_cast<std::uint32_t>(code) >> (bits - 1)) << 31;
  return float_of(bits_of(magnitude) ^ sign);
}

}  // namespace muster::codec
