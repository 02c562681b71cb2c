#pragma once  // common/codec/half.h: float32 to and from IEEE binary16 and bfloat16, rounded to nearest, ties
              // to even
#include <cstdint>

#include "common/codec/arithmetic.h"

namespace muster::codec {

// Infinities stay, NaN becomes a quiet NaN of the same sign, 65520 and more become infinite, subnormals are
// exact multiples of 2^-24. Error of a value v: at most max(2^-11 |v|, 2^-25). The sum with 0.5 lets the
// adder round a subnormal. Source: F. Giesen, "float->half variants", public domain, 2012.
MUSTER_ARITHMETIC std::uint16_t half_of_float(float value) {
  const std::uint32_t bits = bits_of(value);
  const std::uint32_t magnitude = bits & ~kSignBit;
  const std::uint32_t subnormal = bits_of(float_of(magnitude) + 0.5F) - bits_of(0.5F);
  const std::uint32_t rebased = magnitude - ((127U - 15U) << 23);
  const std::uint32_t normal = (rebased + 0xfffU + ((magnitude >> 13) & 1U)) >> 13;
  const std::uint32_t special = magnitude > kInfinityBits ? 0x7e00U : 0x7c00U;
  const std::uint32_t finite = magnitude < bits_of(0x1p-14F) ? subnormal : normal;
  const std::uint32_t half = magnitude >= bits_of(65536.0F) ? special : finite;
  return static_cast<std::uint16_t>(half | ((bits & kSignBit) >> 16));
}

// Exact.
MUSTER_ARITHMETIC float float_of_half(std::uint16_t half) {
  const std::uint32_t shifted = (half & 0x7fffU) << 13;
  const std::uint32_t exponent = shifted & (0x7c00U << 13);
  const std::uint32_t normal = shifted + ((127U - 15U) << 23);
  const std::uint32_t special = normal + ((128U - 16U) << 23);
  const std::uint32_t subnormal = bits_of(float_of(normal + (1U << 23)) - 0x1p-14F);
  const std::uint32_t finite = exponent == 0 ? subnormal : normal;
  const std::uint32_t bits = exponent == (0x7c00U << 13) ? special : finite;
  return float_of(bits | ((half & 0x8000U) << 16));
}

// The upper half of a float32, so that its range is kept. Error of a normal value v: at most 2^-8 |v|.
MUSTER_ARITHMETIC std::uint16_t bfloat16_of_float(float value) {
  const std::uint32_t bits = bits_of(value);
  const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const std::uint32_t quiet_nan = (bits >> 16) | 0x40U;
  return static_cast<std::uint16_t>((bits & ~kSignBit) > kInfinityBits ? quiet_nan : rounded);
}

// Exact.
MUSTER_ARITHMETIC float float_of_bfloat16(std::uint16_t bits) {
  return float_of(static_cast<std::uint32_t>(bits) << 16);
}

}  // namespace muster::codec
