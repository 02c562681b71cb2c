#pragma once  // worker/collective/candidates.h: which topologies are worth timing, where the spec leaves it
              // open
#include <cstddef>
#include <span>
#include <vector>

#include "worker/collective/mesh_collective.h"

namespace muster::worker {

// Of kTopologies, for sums of so many float32 over `ranks` >= 2. AllToAll sends n / 2 times the bytes of the
// others: not where that is much of a large sum. It and Direct connect everyone to everyone: not where these
// are many.
[[nodiscard]] std::vector<Topology> candidates_for(int ranks, std::size_t elements);

// Rounds in which the candidates are timed in turn, after one that took `seconds` each, summed over
// the ranks: as many as a tenth of a second holds, 1 to 20.
[[nodiscard]] int timing_rounds(std::span<const float> seconds, int ranks);

// Those of `candidates` that took no more than twice the time of the fastest in one call, in their order.
[[nodiscard]] std::vector<Topology> in_reach(std::span<const Topology> candidates,
                                             std::span<const float> seconds);

}  // namespace muster::worker
