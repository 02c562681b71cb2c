// worker/parallel/gossip_graph.cc: neighbours and weights
#include "worker/parallel/gossip_graph.h"

#include <numeric>
#include <set>

#include "common/base/check.h"
#include "common/base/random.h"

namespace muster::worker {
namespace {

// All ties weigh alike: every rank has as many, so rows and columns add up to 1.
std::vector<GossipTie> alike(const std::set<int>& ranks) {
  std::vector<GossipTie> ties;
  ties.reserve(ranks.size());
  for (const int rank : ranks)
    ties.push_back({.rank = rank, .weight = 1.0F / static_cast<float>(ranks.size())});
  return ties;
}

// Of a random order of the ranks the first and the second, the third and the fourth, and so on; a last one
// stays alone.
int partner_of(int rank, int ranks, std::int64_t step, std::uint64_t seed) {
  std::vector<int> order(static_cast<std::size_t>(ranks));
  std::iota(order.begin(), order.end(), 0);
  Random(hash_key(seed, static_cast<std::uint64_t>(step))).shuffle(std::span(order));
  std::size_t at = 0;
  while (order[at] != rank) ++at;
  const std::size_t other = at ^ 1U;
  return other < order.size() ? order[other] : rank;
}

}  // namespace

std::optional<GossipGraph> gossip_graph_named(std::string_view name) {
  if (name == "Ring") return GossipGraph::kRing;
  if (name == "Exponential") return GossipGraph::kExponential;
  if (name == "RandomPairs") return GossipGraph::kRandomPairs;
  return std::nullopt;
}

std::vector<GossipTie> gossip_ties(GossipGraph graph, int rank, int ranks, std::int64_t step,
                                   std::uint64_t seed) {
  MUSTER_CHECK(0 <= rank && rank < ranks);
  std::set<int> tied{rank};
  const auto both_ways = [&](int distance) {
    tied.insert((rank + distance) % ranks);
    tied.insert((rank + ranks - distance % ranks) % ranks);
  };
  switch (graph) {
    case GossipGraph::kRing: both_ways(1); break;
    case GossipGraph::kExponential:
      for (int distance = 1; distance < ranks; distance *= 2) both_ways(distance);
      break;
    case GossipGraph::kRandomPairs: tied.insert(partner_of(rank, ranks, step, seed)); break;
  }
  return alike(tied);
}

}  // namespace muster::worker
