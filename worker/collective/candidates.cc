// worker/collective/candidates.cc: what not to time
#include "worker/collective/candidates.h"

#include <algorithm>

#include "common/base/check.h"

namespace muster::worker {
namespace {

constexpr std::size_t kFewBytes = 64 * 1024;  // up to here a sum takes latencies, not bandwidth
constexpr int kRanksOfAllToAll = 4;           // beyond that
constexpr int kConnectedRanks = 64;           // to everyone else
constexpr double kBudgetSeconds = 0.1;
constexpr double kRoundsMax = 20;
constexpr float kReach = 2;

}  // namespace

std::vector<Topology> candidates_for(int ranks, std::size_t elements) {
  MUSTER_CHECK(ranks >= 2);
  const bool few = elements * sizeof(float) <= kFewBytes;
  std::vector<Topology> candidates;
  for (const Topology topology : kTopologies) {
    const bool all_to_all = topology == Topology::kAllToAll;
    if ((all_to_all || topology == Topology::kDirect) && ranks > kConnectedRanks) continue;
    if (all_to_all && ranks > kRanksOfAllToAll && !few) continue;
    candidates.push_back(topology);
  }
  return candidates;
}

int timing_rounds(std::span<const float> seconds, int ranks) {
  double all = 0;
  for (const float each : seconds) all += static_cast<double>(each) / ranks;
  return static_cast<int>(std::clamp(kBudgetSeconds / std::max(all, 1e-9), 1.0, kRoundsMax));
}

std::vector<Topology> in_reach(std::span<const Topology> candidates, std::span<const float> seconds) {
  MUSTER_CHECK(candidates.size() == seconds.size() && !candidates.empty());
  const float best = *std::ranges::min_element(seconds);
  std::vector<Topology> kept;
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (seconds[i] <= kReach * best) kept.push_back(candidates[i]);
  return kept;
}

}  // namespace muster::worker
