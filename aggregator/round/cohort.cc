// aggregator/round/cohort.cc: the draw, by a partial Fisher-Yates shuffle
#include "aggregator/round/cohort.h"

#include <algorithm>
#include <utility>

#include "common/base/random.h"

namespace muster::agg {

std::vector<ClientId> draw_cohort(std::vector<ClientId> candidates, std::int64_t count, std::uint64_t seed,
                                  std::int64_t round, std::int64_t attempt) {
  std::sort(candidates.begin(), candidates.end());
  const std::size_t wanted =
      std::min(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)), candidates.size());
  Random random(hash_key(seed, round, attempt));
  for (std::size_t i = 0; i < wanted; ++i) {
    std::swap(candidates[i], candidates[i + random.below(candidates.size() - i)]);
  }
  candidates.resize(wanted);
  std::sort(candidates.begin(), candidates.end());
  return candidates;
}

}  // namespace muster::agg
