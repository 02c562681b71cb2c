#pragma once  // common/codec/group_frame.h: the bytes of values in one format, group by group
#include <algorithm>
#include <cstddef>
#include <span>

#include "common/codec/format.h"
#include "common/codec/key.h"

namespace muster::codec {

[[nodiscard]] constexpr std::size_t group_bytes(Format format, std::size_t count) {
  const std::size_t codes = (count * static_cast<std::size_t>(format_bits(format)) + 7) / 8;
  return codes + (format_has_scale(format) ? sizeof(float) : 0);
}

// Of `count` values in whole groups and what is left.
[[nodiscard]] constexpr std::size_t groups_bytes(Format format, std::size_t count) {
  const std::size_t tail = count % kGroupValues;
  return count / kGroupValues * group_bytes(format, kGroupValues) +
         (tail > 0 ? group_bytes(format, tail) : 0);
}

// values: those of the group with that number in its bucket, 1 to 512. out: group_bytes() of them.
void encode_group(Format format, std::span<const float> values, const Key& key, std::uint64_t group,
                  std::byte* out);
// bytes: group_bytes() of them. Takes any bytes.
void decode_group(Format format, const std::byte* bytes, std::span<float> values);

// All groups of values, the first of which is that of key.first. out: groups_bytes() of them.
void encode_groups(Format format, std::span<const float> values, const Key& key, std::byte* out);

// Calls each(first, values) for every group of a frame, with up to 512 values that live for the call.
// bytes: groups_bytes() of them.
template <typename Each>
void decode_groups(Format format, std::span<const std::byte> bytes, std::size_t count, Each each) {
  alignas(64) float group[kGroupValues];  // stays in the first cache
  for (std::size_t first = 0; first < count; first += kGroupValues) {
    const std::size_t size = std::min(kGroupValues, count - first);
    decode_group(format, bytes.data() + first / kGroupValues * group_bytes(format, kGroupValues),
                 std::span(group, size));
    each(first, std::span<const float>(group, size));
  }
}

}  // namespace muster::codec
