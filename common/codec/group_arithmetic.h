#pragma once  // common/codec/group_arithmetic.h: one value, and one byte, of a group's frame: the arithmetic
              // of kernels that have a thread for each
#include <cstddef>
#include <cstdint>

#include "common/codec/format.h"
#include "common/codec/half.h"
#include "common/codec/key.h"
#include "common/codec/levels.h"

// The formats of grouped_codec.h, but for kFloat32, which needs none, and kSign, whose scale is a sum in an
// order. The bits are those of group_frame.h: tests/common/codec/group_arithmetic_test.cc holds every
// function here to it.
namespace muster::codec {

// What a group's values share. `largest`: magnitude_bits of the largest.
struct GroupScale {
  float written = 0;  // at the beginning of the frame: NaN of a group that is not finite
  Grid grid{};
  std::int32_t top = 0;
  bool finite = false;
};

MUSTER_ARITHMETIC std::int32_t top_level_of(int bits) { return (1 << (bits - 1)) - 1; }

MUSTER_ARITHMETIC GroupScale group_scale(Format format, std::uint32_t largest) {
  const std::int32_t top = format == Format::kE3M0 ? 1 : top_level_of(format_bits(format));
  if (largest >= kInfinityBits) return {float_of(kNanBits), Grid{}, top, false};
  return {float_of(largest), grid_of(float_of(largest), static_cast<float>(top)), top, true};
}

MUSTER_ARITHMETIC std::uint8_t scaled_code(Format format, float value, const GroupScale& scale,
                                           std::uint16_t draw) {
  if (!scale.finite) return 0;
  const std::int32_t level = format == Format::kE3M0 ? e3m0_level(value, scale.grid, draw)
                                                     : integer_level(value, scale.grid, scale.top, draw);
  return code_of(level, value, format_bits(format));
}

MUSTER_ARITHMETIC float scaled_value(Format format, std::uint8_t code, float written) {
  const int bits = format_bits(format);
  if (format == Format::kE3M0) return signed_value(e3m0_magnitude(code & 7U) * written, code, bits);
  const std::int32_t top = top_level_of(bits);
  const float unit = written / static_cast<float>(top);
  return signed_value(static_cast<float>(static_cast<std::int32_t>(code) & top) * unit, code, bits);
}

// Byte `at` of the codes of `count` values, of which there are `size` bytes: each holds codes that are `size`
// apart, and none where there is no value.
MUSTER_ARITHMETIC std::uint8_t scaled_byte(Format format, const float* values, std::size_t count,
                                           const GroupScale& scale, const Key& key, std::uint64_t first,
                                           std::size_t size, std::size_t at) {
  const int bits = format_bits(format);
  std::uint32_t byte = 0;
  for (int part = 0; part * bits < 8; ++part) {
    const std::size_t i = at + static_cast<std::size_t>(part) * size;
    if (i < count)
      byte |= static_cast<std::uint32_t>(scaled_code(format, values[i], scale, rounding_draw(key, first + i)))
              << (part * bits);
  }
  return static_cast<std::uint8_t>(byte);
}

// Code `i` of those bytes.
MUSTER_ARITHMETIC std::uint8_t code_in(Format format, const std::uint8_t* bytes, std::size_t size,
                                       std::size_t i) {
  const int bits = format_bits(format);
  const std::uint32_t byte = bytes[i % size];
  return static_cast<std::uint8_t>(byte >> (i / size * static_cast<std::size_t>(bits)) & ((1U << bits) - 1U));
}

// Little-endian, at any alignment.
MUSTER_ARITHMETIC void write_word(std::uint8_t* out, std::uint32_t word, int bytes) {
  for (int i = 0; i < bytes; ++i) out[i] = static_cast<std::uint8_t>(word >> (8 * i));
}
MUSTER_ARITHMETIC std::uint32_t read_word(const std::uint8_t* in, int bytes) {
  std::uint32_t word = 0;
  for (int i = 0; i < bytes; ++i) word |= static_cast<std::uint32_t>(in[i]) << (8 * i);
  return word;
}

// Value `i` of a group's frame of `count` values, in any of these formats.
MUSTER_ARITHMETIC float value_in_frame(Format format, const std::uint8_t* frame, std::size_t count,
                                       std::size_t i) {
  if (format == Format::kFloat16)
    return float_of_half(static_cast<std::uint16_t>(read_word(frame + 2 * i, 2)));
  if (format == Format::kBFloat16)
    return float_of_bfloat16(static_cast<std::uint16_t>(read_word(frame + 2 * i, 2)));
  const std::size_t size = (count * static_cast<std::size_t>(format_bits(format)) + 7) / 8;
  return scaled_value(format, code_in(format, frame + sizeof(float), size, i), float_of(read_word(frame, 4)));
}

}  // namespace muster::codec
