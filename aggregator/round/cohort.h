#pragma once  // aggregator/round/cohort.h: who takes part in a round: a seeded draw
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/result.h"

namespace muster::agg {

using ClientId = std::int32_t;  // 0 .. clients - 1

struct Drawn {
  ClientId client = 0;
  std::int64_t copies = 1;  // it was drawn so often
  friend bool operator==(const Drawn&, const Drawn&) = default;
};

// `count` of the candidates, every subset equally likely, sorted; all of them when there are fewer. A
// function of (seed, round, attempt) and of the set of candidates, not of their order.
[[nodiscard]] std::vector<Drawn> draw_cohort(std::vector<ClientId> candidates, std::int64_t count,
                                             std::uint64_t seed, std::int64_t round, std::int64_t attempt);

// `count` draws of the candidates with replacement, each with probability sizes[c] / sum: so that the plain
// mean of the updates, each as often as it was drawn, is an unbiased estimate of the mean by size (Li et al.
// 2020, "On the Convergence of FedAvg on Non-IID Data", scheme I). Sorted; likewise a function of the set. Of
// sizes that are all 0 every candidate is as good as another.
[[nodiscard]] std::vector<Drawn> draw_by_size(std::vector<ClientId> candidates,
                                              std::span<const std::uint64_t> sizes, std::int64_t count,
                                              std::uint64_t seed, std::int64_t round, std::int64_t attempt);

}  // namespace muster::agg
