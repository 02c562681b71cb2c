#pragma once  // worker/parallel/shard_state.h: a part of the parameters, as a server and its mirror hold it
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "learning/optimizer.h"

namespace muster::worker {

using MakeOptimizer = std::function<std::unique_ptr<learning::Optimizer>(std::int64_t parameters)>;

// What a server keeps from one membership to the next.
struct ShardState {
  std::int64_t total = 0;           // parameters of the model; 0: nothing is here yet
  std::vector<float> parameters{};  // [its part]
  std::unique_ptr<learning::Optimizer> optimizer{};
  // All servers have made the updates before `base`: somebody is beyond them who waited for all. Of the
  // others that are in these parameters, by step, the examples: an update that comes again, as other servers
  // had not made it when a membership ended, is not made twice.
  std::int64_t base = 0;
  std::int64_t base_position = 0;  // examples that were trained on before it, in all epochs
  std::map<std::int64_t, std::int64_t> done{};
  // Of one part, states with the same two numbers are the same bits.
  std::int64_t origin = 0;   // the membership in which rank 0 uploaded it
  std::int64_t updates = 0;  // that were made since
};

// All copies of a part make the same updates in the same order.
void make_update(ShardState& state, std::int64_t step, std::int64_t examples,
                 std::span<const float> gradient);
// Whoever is at the update `step` has those before it from all servers.
void move_base(ShardState& state, std::int64_t step, std::int64_t position);

// All but total, origin and updates, as bytes. part_bytes: how many that are at least; ShardDone of `done`
// come behind.
[[nodiscard]] std::uint64_t part_bytes(std::uint64_t part, std::uint64_t slots);
[[nodiscard]] std::vector<std::byte> encode_part(const ShardState& state);
// `part`: parameters. Hostile bytes are refused, and change nothing: kInternal.
[[nodiscard]] Status decode_part(std::span<const std::byte> bytes, std::uint64_t part,
                                 const MakeOptimizer& make_optimizer, ShardState& state);

}  // namespace muster::worker
