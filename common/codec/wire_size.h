#pragma once  // common/codec/wire_size.h: what a compressed exchange costs, to be compared before it is made
#include <cstdint>

#include "common/codec/codec.h"

namespace muster::codec {

[[nodiscard]] constexpr std::uint64_t dense_bytes(std::uint64_t count) { return count * sizeof(float); }

// Whether the frame of `count` values is shorter than the values as they are; else the caller sends them
// dense and counts that. A vector of one value in int8 is not: its scale alone is as long. Frames whose size
// depends on the values compare for themselves, once they are made (SparseForm::kDense): of those it is true.
[[nodiscard]] inline bool compresses(const Codec& codec, std::size_t count) {
  const auto bytes = codec.wire_bytes(count);
  return !bytes || *bytes < dense_bytes(count);
}

// Payload that a rank sends in a compressed all-reduce of `count` values, cut by group_slice(): its part of
// each other rank's chunk, then the mean of its own chunk to each of them. About 2 (n-1) / n of a frame.
// Exact for a codec of fixed size, else the most that it can be. To compare: a ring of floats sends 2 (n-1) /
// n * 4 count.
[[nodiscard]] std::uint64_t all_reduce_bytes(const Codec& codec, std::size_t count, int rank, int ranks);

// Payload that a rank sends if every rank's frame goes round to all (ring all-gather): (n-1) frames. For
// sparse frames that are not summed on the way; less than a ring of floats only if a frame is below 2/n of
// the vector.
[[nodiscard]] inline std::uint64_t all_gather_bytes(const Codec& codec, std::size_t count, int ranks) {
  return static_cast<std::uint64_t>(ranks - 1) * codec.max_wire_bytes(count);
}

}  // namespace muster::codec
