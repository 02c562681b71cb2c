// worker/parallel/shard_memory.cc: what a part takes, with all that is kept beside it
#include <fmt/format.h>

#include "worker/parallel/shard.h"

namespace muster::worker {

Status Shard::fits(std::int64_t total) const {
  const std::uint64_t part = shard_part(total, options_.shard, options_.shards).size * sizeof(float);
  const std::uint64_t kept = part * (1 + options_.make_optimizer(1)->slots().size());
  std::uint64_t of_worker = part * (options_.asynchronous ? 2 : 1);  // what it pulled is kept, too
  std::uint64_t of_frames = 0;
  if (options_.codec) {
    of_worker += 2 * part;                               // the gradient that a frame held, and the answer
    of_frames = part * (options_.asynchronous ? 1 : 2);  // a change; what all workers have
  }
  const std::uint64_t needed = kept * (mirrors_ == nullptr ? 1 : 3) +  // the other's part; one on its way
                               of_worker * static_cast<std::uint64_t>(options_.workers) + of_frames;
  if (needed <= options_.memory_max) return {};
  return invalid_argument(fmt::format(
      "parameter server {} of {} needs {} MiB for its part of {} parameters, with the optimizer's state and "
      "a "
      "gradient of each of {} workers; its pod may take {} MiB: raise resources.limits.memory in "
      "spec.synchronization.parameterServers.template, or the number of shards",
      options_.shard, options_.shards, needed >> 20, total, options_.workers, options_.memory_max >> 20));
}

}  // namespace muster::worker
