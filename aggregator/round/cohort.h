#pragma once  // aggregator/round/cohort.h: who takes part in a round: a seeded uniform draw
#include <cstdint>
#include <vector>

#include "common/base/result.h"

namespace muster::agg {

using ClientId = std::int32_t;  // 0 .. clients - 1

// How many clients a round of `size` wanted reports selects: ceil(size * over_selection), never above
// `clients`. The product is rounded to 1e-9 first, so that 10 * 1.1 selects 11 and not 12.
[[nodiscard]] std::int64_t selection_count(std::int64_t size, double over_selection, std::int64_t clients);

// `count` of the candidates, every subset equally likely, sorted; all of them when there are fewer. A
// function of (seed, round, attempt) and of the set of candidates, not of their order.
[[nodiscard]] std::vector<ClientId> draw_cohort(std::vector<ClientId> candidates, std::int64_t count,
                                                std::uint64_t seed, std::int64_t round, std::int64_t attempt);

}  // namespace muster::agg
