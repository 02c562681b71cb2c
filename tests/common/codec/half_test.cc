// tests/common/codec/half_test.cc: binary16 and bfloat16 against their definition, at every boundary of
// rounding
#include "common/codec/half.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace muster::codec {
namespace {

// By the definition, in float64: the nearest multiple of the unit in the last place, ties to even.
std::uint16_t rounded(float value, int mantissa_bits, int least_exponent, int bias, int infinite_exponent) {
  const auto sign = static_cast<std::uint16_t>((bits_of(value) >> 16) & 0x8000U);
  const double magnitude = std::fabs(static_cast<double>(value));
  int exponent = std::max(magnitude > 0 ? std::ilogb(magnitude) : least_exponent, least_exponent);
  auto units = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(magnitude, mantissa_bits - exponent)));
  if (units == 2U << mantissa_bits) {
    units /= 2;
    ++exponent;
  }
  if (exponent >= infinite_exponent)
    return sign | static_cast<std::uint16_t>((infinite_exponent + bias) << mantissa_bits);
  if (units < 1U << mantissa_bits) return sign | static_cast<std::uint16_t>(units);
  const auto biased = static_cast<std::uint32_t>(exponent + bias) << mantissa_bits;
  return sign | static_cast<std::uint16_t>(biased + units - (1U << mantissa_bits));
}
std::uint16_t half_by_definition(float value) { return rounded(value, 10, -14, 15, 16); }
std::uint16_t bfloat16_by_definition(float value) { return rounded(value, 7, -126, 127, 128); }

// The number, the middle between it and the next, and the float32 beside each.
template <typename Check>
void at_boundaries(float value, float next, Check check) {
  const auto middle = static_cast<float>((static_cast<double>(value) + static_cast<double>(next)) / 2);
  for (const float at : {value, middle})
    for (const float around : {std::nextafter(at, -INFINITY), at, std::nextafter(at, INFINITY)})
      check(around);
}

TEST(Half, EveryNumberComesBack) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const bool nan = (half & 0x7fffU) > 0x7c00U;
    EXPECT_EQ(std::isnan(float_of_half(half)), nan);
    EXPECT_TRUE(nan || half_of_float(float_of_half(half)) == half) << bits;
  }
  EXPECT_EQ(float_of_half(0x3c00), 1.0F);
  EXPECT_EQ(float_of_half(0xc000), -2.0F);
  EXPECT_EQ(float_of_half(0x7bff), 65504.0F);
  EXPECT_EQ(float_of_half(0x0001), 0x1p-24F);
  EXPECT_EQ(float_of_half(0x03ff), 1023 * 0x1p-24F);
}

TEST(Half, RoundsToNearestTiesToEven) {
  for (std::uint16_t half = 0; half < 0x7bff; ++half) {
    at_boundaries(float_of_half(half), float_of_half(half + 1), [](float value) {
      ASSERT_EQ(half_of_float(value), half_by_definition(value)) << value;
      ASSERT_EQ(half_of_float(-value), half_by_definition(-value)) << value;
    });
  }
  EXPECT_EQ(half_of_float(65519.996F), 0x7bff);
  EXPECT_EQ(half_of_float(65520.0F), 0x7c00) << "beyond the middle to 2^16: infinite";
  EXPECT_EQ(half_of_float(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(half_of_float(std::numeric_limits<float>::denorm_min()), 0);
}

TEST(Half, InfinityAndNanPass) {
  EXPECT_EQ(half_of_float(INFINITY), 0x7c00);
  EXPECT_EQ(half_of_float(-INFINITY), 0xfc00);
  EXPECT_EQ(float_of_half(0xfc00), -INFINITY);
  for (const std::uint32_t nan : {0x7f800001U, 0x7fc00000U, 0x7fffffffU, 0xff800001U, 0xffffffffU}) {
    EXPECT_TRUE(std::isnan(float_of_half(half_of_float(float_of(nan)))));
    EXPECT_TRUE(std::isnan(float_of_bfloat16(bfloat16_of_float(float_of(nan)))));
  }
}

TEST(BFloat16, RoundsToNearestTiesToEven) {
  for (std::uint16_t bits = 0; bits < 0x7f7f; ++bits) {
    EXPECT_EQ(bfloat16_of_float(float_of_bfloat16(bits)), bits);
    at_boundaries(float_of_bfloat16(bits), float_of_bfloat16(bits + 1), [](float value) {
      ASSERT_EQ(bfloat16_of_float(value), bfloat16_by_definition(value)) << value;
      ASSERT_EQ(bfloat16_of_float(-value), bfloat16_by_definition(-value)) << value;
    });
  }
  EXPECT_EQ(bfloat16_of_float(1.0F), 0x3f80);
  EXPECT_EQ(bfloat16_of_float(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(bfloat16_of_float(-INFINITY), 0xff80);
}

}  // namespace
}  // namespace muster::codec
