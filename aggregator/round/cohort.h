#pragma once  // aggregator/round/cohort.h: who takes part in a round: a seeded uniform draw
#include <cstdint>
#include <vector>

#include "common/base/result.h"

namespace muster::agg {

using ClientId = std::int32_t;  // 0 .. clients - 1

// `count` of the candidates, every subset equally likely, sorted; all of them when there are fewer. A
// function of (seed, round, attempt) and of the set of candidates, not of their order.
[[nodiscard]] std::vector<ClientId> draw_cohort(std::vector<ClientId> candidates, std::int64_t count,
                                                std::uint64_t seed, std::int64_t round, std::int64_t attempt);

}  // namespace muster::agg
