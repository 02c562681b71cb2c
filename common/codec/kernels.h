#pragma once  // common/codec/kernels.h: the loops over one group, for the widest vectors of the CPU
#include <cstddef>
#include <cstdint>

#include "common/codec/key.h"
#include "common/codec/levels.h"

namespace muster::codec::kernels {

// Arrays do not overlap; any alignment. Values are numbered from 0 to count. Each loop gives the bits that
// the functions of half.h, levels.h and key.h give one by one: tests/common/codec/vector_test.cc holds them
// to it.

// The magnitude bits of the largest: above kInfinityBits if there is a NaN. 0 for none.
[[nodiscard]] std::uint32_t largest_magnitude(const float* values, std::size_t count) noexcept;
// Their mean, summed in 16 lanes (value i in lane i % 16), which are then added in pairs. count >= 1.
[[nodiscard]] float mean_magnitude(const float* values, std::size_t count) noexcept;

void integer_codes(const float* values, std::size_t count, Grid grid, std::int32_t top, int bits,
                   const std::uint16_t* draws, std::uint8_t* codes) noexcept;
void e3m0_codes(const float* values, std::size_t count, Grid grid, const std::uint16_t* draws,
                std::uint8_t* codes) noexcept;
void sign_codes(const float* values, std::size_t count, std::uint8_t* codes) noexcept;

void integer_values(const std::uint8_t* codes, std::size_t count, float unit, int bits,
                    float* values) noexcept;
void e3m0_values(const std::uint8_t* codes, std::size_t count, float largest, float* values) noexcept;
void sign_values(const std::uint8_t* codes, std::size_t count, float scale, float* values) noexcept;

// Codes of `bits` (1, 2, 4) bits to `size` bytes: byte j holds codes j, j + size, j + 2 size, ..., from its
// low bits up, so that vectors of neighbours need no interleaving. There are 8 / bits * size codes on either
// side.
void pack(const std::uint8_t* codes, std::size_t size, int bits, std::uint8_t* bytes) noexcept;
void unpack(const std::uint8_t* bytes, std::size_t size, int bits, std::uint8_t* codes) noexcept;

void to_half(const float* values, std::size_t count, std::uint16_t* halves) noexcept;
void from_half(const std::uint16_t* halves, std::size_t count, float* values) noexcept;
void to_bfloat16(const float* values, std::size_t count, std::uint16_t* halves) noexcept;
void from_bfloat16(const std::uint16_t* halves, std::size_t count, float* values) noexcept;

// sums[i] += weight * values[i], two roundings.
void add_weighted(float* sums, const float* values, float weight, std::size_t count) noexcept;
// NaN and infinities become 0.
void clear_not_finite(float* values, std::size_t count) noexcept;

}  // namespace muster::codec::kernels
