#pragma once  // common/codec/key.h: what a random rounding is a function of
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "common/base/slice.h"
#include "common/codec/philox.h"

namespace muster::codec {

inline constexpr std::size_t kGroupValues =
    512;  // values with one scale: 4 bytes on 512 values cost 1/16 bit each

// Which values are encoded. The same values under the same key give the same bytes, on every machine.
struct Key {
  // Of the sender and the leg: hash_key(job's seed, rank, leg). Ranks that shared a seed would round alike,
  // and their errors would add up instead of averaging out.
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint32_t bucket = 0;
  std::uint64_t first =
      0;  // the place in the bucket of the first value; a multiple of kGroupValues, below 2^35
};

// Part `index` of `parts` of `count` values, for ranks that each reduce one: nearly equal, and each begins at
// a multiple of kGroupValues. So parts encode to what they are in the whole. Those of few values may be
// empty.
[[nodiscard]] constexpr Slice group_slice(std::int64_t count, std::int64_t index, std::int64_t parts) {
  constexpr auto kGroup = static_cast<std::int64_t>(kGroupValues);
  const Slice groups = slice_of((count + kGroup - 1) / kGroup, index, parts);
  return {.begin = std::min(groups.begin * kGroup, count), .end = std::min(groups.end * kGroup, count)};
}

// A block of four random words serves eight values, 16 bits each: those of a group that are 64 apart, so that
// vectors of neighbours draw from neighbouring blocks and nothing is interleaved.
inline constexpr std::size_t kBlocksPerGroup = kGroupValues / 8;

MUSTER_ARITHMETIC PhiloxWords draw_block(const Key& key, std::uint32_t block) {
  return philox(
      {block, key.bucket, static_cast<std::uint32_t>(key.step), static_cast<std::uint32_t>(key.step >> 32)},
      static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32));
}

// The number, uniform in [0, 2^16), by which value `index` after key.first is rounded.
MUSTER_ARITHMETIC std::uint16_t rounding_draw(const Key& key, std::uint64_t index) {
  const std::uint64_t place = key.first + index;
  const std::uint64_t group = place / kGroupValues;
  const std::uint64_t in_group = place % kGroupValues;
  const std::uint64_t eighth = in_group / kBlocksPerGroup;
  const PhiloxWords words =
      draw_block(key, static_cast<std::uint32_t>(group * kBlocksPerGroup + in_group % kBlocksPerGroup));
  return static_cast<std::uint16_t>(words.word[eighth / 2] >> (16 * (eighth % 2)));
}

}  // namespace muster::codec
