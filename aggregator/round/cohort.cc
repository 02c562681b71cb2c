// aggregator/round/cohort.cc: the draw, by a partial Fisher-Yates shuffle
#include "aggregator/round/cohort.h"

#include <algorithm>
#include <utility>

#include "common/base/random.h"

namespace muster::agg {

std::vector<Drawn> draw_cohort(std::vector<ClientId> candidates, std::int64_t count, std::uint64_t seed,
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
  std::vector<Drawn> drawn;
  drawn.reserve(wanted);
  for (const ClientId client : candidates) drawn.push_back({.client = client});
  return drawn;
}

std::vector<Drawn> draw_by_size(std::vector<ClientId> candidates, std::span<const std::uint64_t> sizes,
                                std::int64_t count, std::uint64_t seed, std::int64_t round,
                                std::int64_t attempt) {
  std::sort(candidates.begin(), candidates.end());
  std::vector<std::uint64_t> up_to;  // sums of the sizes
  up_to.reserve(candidates.size());
  std::uint64_t sum = 0;
  for (const ClientId client : candidates) up_to.push_back(sum += sizes[static_cast<std::size_t>(client)]);
  if (sum == 0) return draw_cohort(std::move(candidates), count, seed, round, attempt);
  std::vector<std::int64_t> copies(candidates.size());
  Random random(hash_key(seed, round, attempt));
  for (std::int64_t draw = 0; draw < count; ++draw) {
    const auto at = std::upper_bound(up_to.begin(), up_to.end(), random.below(sum));
    ++copies[static_cast<std::size_t>(at - up_to.begin())];
  }
  std::vector<Drawn> drawn;
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (copies[i] > 0) drawn.push_back({.client = candidates[i], .copies = copies[i]});
  return drawn;
}

}  // namespace muster::agg
