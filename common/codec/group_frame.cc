// common/codec/group_frame.cc
#include "common/codec/group_frame.h"

#include <bit>
#include <cstring>

#include "common/codec/draws.h"
#include "common/codec/kernels.h"

namespace muster::codec {

static_assert(std::endian::native == std::endian::little, "frames are little-endian");

namespace {

// Room for the codes that fill up the last byte of each part: at most 7 beyond a group.
struct Codes {
  alignas(64) std::uint8_t code[kGroupValues + 8] = {};
};

void write_scale(float scale, std::byte* out) { std::memcpy(out, &scale, sizeof(scale)); }

float read_scale(const std::byte* bytes) {
  float scale = 0;
  std::memcpy(&scale, bytes, sizeof(scale));
  return scale;
}

std::int32_t top_level(int bits) { return (1 << (bits - 1)) - 1; }

// Fills codes and returns the scale.
float quantize(Format format, std::span<const float> values, const Key& key, std::uint64_t group,
               std::uint8_t* codes) {
  const float not_finite = float_of(kNanBits);
  if (format == Format::kSign) {
    kernels::sign_codes(values.data(), values.size(), codes);
    const float mean = kernels::mean_magnitude(values.data(), values.size());
    return bits_of(mean) < kInfinityBits ? mean : not_finite;
  }
  const std::uint32_t largest = kernels::largest_magnitude(values.data(), values.size());
  if (largest >= kInfinityBits) return not_finite;
  alignas(64) std::uint16_t draws[kGroupValues];
  draw_group(key, group, std::span<std::uint16_t, kGroupValues>(draws, kGroupValues));
  const float scale = float_of(largest);
  const int bits = format_bits(format);
  if (format == Format::kE3M0)
    kernels::e3m0_codes(values.data(), values.size(), grid_of(scale, 1), draws, codes);
  else
    kernels::integer_codes(values.data(), values.size(), grid_of(scale, static_cast<float>(top_level(bits))),
                           top_level(bits), bits, draws, codes);
  return scale;
}

void encode_scaled(Format format, std::span<const float> values, const Key& key, std::uint64_t group,
                   std::byte* out) {
  const int bits = format_bits(format);
  auto* const bytes = reinterpret_cast<std::uint8_t*>(out + sizeof(float));
  const std::size_t size = (values.size() * static_cast<std::size_t>(bits) + 7) / 8;
  Codes codes;
  write_scale(quantize(format, values, key, group, codes.code), out);
  if (bits == 8)
    std::memcpy(bytes, codes.code, size);
  else
    kernels::pack(codes.code, size, bits, bytes);
}

void decode_scaled(Format format, const std::byte* in, std::span<float> values) {
  const int bits = format_bits(format);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(in + sizeof(float));
  const float scale = read_scale(in);
  Codes codes;
  if (bits < 8) {
    kernels::unpack(bytes, (values.size() * static_cast<std::size_t>(bits) + 7) / 8, bits, codes.code);
    bytes = codes.code;
  }
  if (format == Format::kSign)
    kernels::sign_values(bytes, values.size(), scale, values.data());
  else if (format == Format::kE3M0)
    kernels::e3m0_values(bytes, values.size(), scale, values.data());
  else
    kernels::integer_values(bytes, values.size(), scale / static_cast<float>(top_level(bits)), bits,
                            values.data());
}

}  // namespace

void encode_group(Format format, std::span<const float> values, const Key& key, std::uint64_t group,
                  std::byte* out) {
  alignas(64) std::uint16_t halves[kGroupValues];
  switch (format) {
    case Format::kFloat32: std::memcpy(out, values.data(), values.size_bytes()); return;
    case Format::kFloat16: kernels::to_half(values.data(), values.size(), halves); break;
    case Format::kBFloat16: kernels::to_bfloat16(values.data(), values.size(), halves); break;
    default: encode_scaled(format, values, key, group, out); return;
  }
  std::memcpy(out, halves, values.size() * sizeof(std::uint16_t));
}

void encode_groups(Format format, std::span<const float> values, const Key& key, std::byte* out) {
  std::uint64_t group = key.first / kGroupValues;
  for (std::size_t first = 0; first < values.size(); first += kGroupValues, ++group) {
    const auto part = values.subspan(first, std::min(kGroupValues, values.size() - first));
    encode_group(format, part, key, group, out);
    out += group_bytes(format, part.size());
  }
}

void decode_group(Format format, const std::byte* bytes, std::span<float> values) {
  if (format == Format::kFloat32) {
    std::memcpy(values.data(), bytes, values.size_bytes());
    return;
  }
  if (format_has_scale(format)) {
    decode_scaled(format, bytes, values);
    return;
  }
  alignas(64) std::uint16_t halves[kGroupValues];
  std::memcpy(halves, bytes, values.size() * sizeof(std::uint16_t));
  if (format == Format::kFloat16)
    kernels::from_half(halves, values.size(), values.data());
  else
    kernels::from_bfloat16(halves, values.size(), values.data());
}

}  // namespace muster::codec
