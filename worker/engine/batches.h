#pragma once  // worker/engine/batches.h: which examples a rank trains on at which step
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/slice.h"
#include "learning/dataset.h"

namespace muster::worker {

// The order of one epoch: a permutation of 0 .. examples - 1, a function of seed and epoch alone.
[[nodiscard]] std::vector<std::int64_t> epoch_order(std::uint64_t seed, std::int64_t epoch,
                                                    std::int64_t examples);

// A copy of the examples [slice.begin, slice.end).
[[nodiscard]] learning::Examples cut(const learning::Examples& examples, Slice slice);

}  // namespace muster::worker
