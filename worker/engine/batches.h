#pragma once  // worker/engine/batches.h: which examples a rank trains on at which step
#include <cstdint>
#include <span>
#include <vector>

#include "learning/dataset.h"

namespace muster::worker {

// The order of one epoch: a permutation of 0 .. examples - 1, a function of seed and epoch alone.
[[nodiscard]] std::vector<std::int64_t> epoch_order(std::uint64_t seed, std::int64_t epoch,
                                                    std::int64_t examples);

struct Slice {  // [begin, end)
  std::int64_t begin = 0;
  std::int64_t end = 0;
  [[nodiscard]] std::int64_t size() const { return end - begin; }
  friend bool operator==(const Slice&, const Slice&) = default;
};

// Rank `rank`'s contiguous part of `count` things; parts differ by one at most and tile 0 .. count.
[[nodiscard]] Slice slice_of(std::int64_t count, int rank, int ranks);

// A copy of the examples [slice.begin, slice.end).
[[nodiscard]] learning::Examples cut(const learning::Examples& examples, Slice slice);

}  // namespace muster::worker
