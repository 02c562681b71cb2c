// common/codec/kernels.cc: compiled with -O3 -ffp-contract=off, so that the loops are vectorised and keep
// their bits
#include "common/codec/kernels.h"

#include "common/base/vector_versions.h"
#include "common/codec/half.h"

namespace muster::codec::kernels {

namespace {

// The width as a constant: shifts by a variable are several times as slow.
template <int kBits>
[[gnu::always_inline]] inline void pack_bits(const std::uint8_t* __restrict codes, std::size_t size,
                                             std::uint8_t* __restrict bytes) {
  for (std::size_t j = 0; j < size; ++j) {
    unsigned byte = 0;
    for (std::size_t part = 0; part < 8 / kBits; ++part)
      byte |= static_cast<unsigned>(codes[part * size + j]) << (kBits * part);
    bytes[j] = static_cast<std::uint8_t>(byte);
  }
}

template <int kBits>
[[gnu::always_inline]] inline void unpack_bits(const std::uint8_t* __restrict bytes, std::size_t size,
                                               std::uint8_t* __restrict codes) {
  for (std::size_t part = 0; part < 8 / kBits; ++part)
    for (std::size_t j = 0; j < size; ++j)
      codes[part * size + j] = static_cast<std::uint8_t>((bytes[j] >> (kBits * part)) & ((1U << kBits) - 1));
}

template <int kBits>
[[gnu::always_inline]] inline void encode_integers(const float* __restrict values, std::size_t count,
                                                   Grid grid, std::int32_t top,
                                                   const std::uint16_t* __restrict draws,
                                                   std::uint8_t* __restrict codes) {
  for (std::size_t i = 0; i < count; ++i)
    codes[i] = code_of(integer_level(values[i], grid, top, draws[i]), values[i], kBits);
}

template <int kBits>
[[gnu::always_inline]] inline void decode_integers(const std::uint8_t* __restrict codes, std::size_t count,
                                                   float unit, float* __restrict values) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::int32_t level = codes[i] & ((1 << (kBits - 1)) - 1);
    values[i] = signed_value(static_cast<float>(level) * unit, codes[i], kBits);
  }
}

}  // namespace

MUSTER_VECTOR_VERSIONS
std::uint32_t largest_magnitude(const float* values, std::size_t count) noexcept {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bits = magnitude_bits(values[i]);
    largest = largest > bits ? largest : bits;
  }
  return largest;
}

MUSTER_VECTOR_VERSIONS
float mean_magnitude(const float* values, std::size_t count) noexcept {
  constexpr std::size_t kLanes = 16;
  float lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] += float_of(magnitude_bits(values[i + lane]));
  for (std::size_t lane = 0; i + lane < count; ++lane)
    lanes[lane] += float_of(magnitude_bits(values[i + lane]));
  for (std::size_t half = kLanes / 2; half > 0; half /= 2)
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  return lanes[0] / static_cast<float>(count);
}

MUSTER_VECTOR_VERSIONS
void integer_codes(const float* values, std::size_t count, Grid grid, std::int32_t top, int bits,
                   const std::uint16_t* draws, std::uint8_t* codes) noexcept {
  if (bits == 8) encode_integers<8>(values, count, grid, top, draws, codes);
  if (bits == 4) encode_integers<4>(values, count, grid, top, draws, codes);
  if (bits == 2) encode_integers<2>(values, count, grid, top, draws, codes);
}

MUSTER_VECTOR_VERSIONS
void e3m0_codes(const float* __restrict values, std::size_t count, Grid grid,
                const std::uint16_t* __restrict draws, std::uint8_t* __restrict codes) noexcept {
  for (std::size_t i = 0; i < count; ++i)
    codes[i] = code_of(e3m0_level(values[i], grid, draws[i]), values[i], 4);
}

MUSTER_VECTOR_VERSIONS
void sign_codes(const float* __restrict values, std::size_t count, std::uint8_t* __restrict codes) noexcept {
  for (std::size_t i = 0; i < count; ++i) codes[i] = code_of(0, values[i], 1);
}

MUSTER_VECTOR_VERSIONS
void integer_values(const std::uint8_t* codes, std::size_t count, float unit, int bits,
                    float* values) noexcept {
  if (bits == 8) decode_integers<8>(codes, count, unit, values);
  if (bits == 4) decode_integers<4>(codes, count, unit, values);
  if (bits == 2) decode_integers<2>(codes, count, unit, values);
}

MUSTER_VECTOR_VERSIONS
void e3m0_values(const std::uint8_t* __restrict codes, std::size_t count, float largest,
                 float* __restrict values) noexcept {
  for (std::size_t i = 0; i < count; ++i)
    values[i] = signed_value(e3m0_magnitude(codes[i] & 7U) * largest, codes[i], 4);
}

MUSTER_VECTOR_VERSIONS
void sign_values(const std::uint8_t* __restrict codes, std::size_t count, float scale,
                 float* __restrict values) noexcept {
  for (std::size_t i = 0; i < count; ++i) values[i] = signed_value(scale, codes[i], 1);
}

MUSTER_VECTOR_VERSIONS
void pack(const std::uint8_t* codes, std::size_t size, int bits, std::uint8_t* bytes) noexcept {
  if (bits == 4) pack_bits<4>(codes, size, bytes);
  if (bits == 2) pack_bits<2>(codes, size, bytes);
  if (bits == 1) pack_bits<1>(codes, size, bytes);
}

MUSTER_VECTOR_VERSIONS
void unpack(const std::uint8_t* bytes, std::size_t size, int bits, std::uint8_t* codes) noexcept {
  if (bits == 4) unpack_bits<4>(bytes, size, codes);
  if (bits == 2) unpack_bits<2>(bytes, size, codes);
  if (bits == 1) unpack_bits<1>(bytes, size, codes);
}

MUSTER_VECTOR_VERSIONS
void to_half(const float* __restrict values, std::size_t count, std::uint16_t* __restrict halves) noexcept {
  for (std::size_t i = 0; i < count; ++i) halves[i] = half_of_float(values[i]);
}

MUSTER_VECTOR_VERSIONS
void from_half(const std::uint16_t* __restrict halves, std::size_t count, float* __restrict values) noexcept {
  for (std::size_t i = 0; i < count; ++i) values[i] = float_of_half(halves[i]);
}

MUSTER_VECTOR_VERSIONS
void to_bfloat16(const float* __restrict values, std::size_t count,
                 std::uint16_t* __restrict halves) noexcept {
  for (std::size_t i = 0; i < count; ++i) halves[i] = bfloat16_of_float(values[i]);
}

MUSTER_VECTOR_VERSIONS
void from_bfloat16(const std::uint16_t* __restrict halves, std::size_t count,
                   float* __restrict values) noexcept {
  for (std::size_t i = 0; i < count; ++i) values[i] = float_of_bfloat16(halves[i]);
}

MUSTER_VECTOR_VERSIONS
void add_weighted(float* __restrict sums, const float* __restrict values, float weight,
                  std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) sums[i] += weight * values[i];
}

MUSTER_VECTOR_VERSIONS
void clear_not_finite(float* values, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i)
    values[i] = magnitude_bits(values[i]) < kInfinityBits ? values[i] : 0.0F;
}

}  // namespace muster::codec::kernels
