#pragma once  // worker/engine/epoch_order.h: in which order an epoch goes through the examples
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "common/base/random.h"

namespace muster::worker {

// The order of one epoch: a permutation of 0 .. examples - 1, a function of seed and epoch alone. Both are at
// least 0.
[[nodiscard]] inline std::vector<std::int64_t> epoch_order(std::uint64_t seed, std::int64_t epoch,
                                                           std::int64_t examples) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(examples));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  Random(hash_key(seed, static_cast<std::uint64_t>(epoch))).shuffle(std::span(order));
  return order;
}

}  // namespace muster::worker
