#pragma once  // worker/parallel/gossip_graph.h: with whom a peer averages its model in a step, and how much
              // each counts. Pure
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace muster::worker {

// The words are those of spec.synchronization.gossip.graph.
enum class GossipGraph : std::uint8_t {
  kRing,         // the two beside it
  kExponential,  // those 1, 2, 4, ... ranks away, in both directions
  kRandomPairs,  // another one in each step, who differs from step to step
};
[[nodiscard]] std::optional<GossipGraph> gossip_graph_named(std::string_view name);

struct GossipTie {
  int rank = 0;
  float weight = 0;
  friend bool operator==(const GossipTie&, const GossipTie&) = default;
};

// The ties of `rank` in `step`, itself included, in order of ranks. The weights of all ranks are a matrix
// that is symmetric and doubly stochastic, so that averaging keeps the mean of all models; with a second
// largest eigenvalue lambda their distance from it shrinks by lambda a step. Source: Lian et al., NeurIPS
// 2017; Boyd et al., IEEE Trans. Inf. Theory 52(6), 2006 (pairs). A function of its arguments alone.
[[nodiscard]] std::vector<GossipTie> gossip_ties(GossipGraph graph, int rank, int ranks, std::int64_t step,
                                                 std::uint64_t seed);

}  // namespace muster::worker
