// worker/parallel/shard_state.cc: updates of a part, and the part as bytes
#include "worker/parallel/shard_state.h"

#include <cstring>

#include "worker/parallel/shard_message.h"

namespace muster::worker {
namespace {

struct PartHead {
  std::int64_t base = 0;
  std::int64_t base_position = 0;
  std::int64_t optimizer_steps = 0;
};
static_assert(sizeof(PartHead) == 24);

// The values behind one another.
void put(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

template <typename T>
std::span<const std::byte> get(std::span<const std::byte> from, std::span<T> to) {
  if (!to.empty()) std::memcpy(to.data(), from.data(), to.size_bytes());
  return from.subspan(to.size_bytes());
}

Error no_part(const char* why) {
  return internal_error(std::string("what a parameter server sends as a part of the parameters is none: ") +
                        why);
}

}  // namespace

void make_update(ShardState& state, std::int64_t step, std::int64_t examples,
                 std::span<const float> gradient) {
  state.optimizer->step(state.parameters, gradient);
  state.done[step] = examples;
  ++state.updates;
}

void move_base(ShardState& state, std::int64_t step, std::int64_t position) {
  state.base = step;
  state.base_position = position;
  state.done.erase(state.done.begin(), state.done.lower_bound(step));
}

std::uint64_t part_bytes(std::uint64_t part, std::uint64_t slots) {
  return sizeof(PartHead) + part * sizeof(float) * (1 + slots);
}

std::vector<std::byte> encode_part(const ShardState& state) {
  const auto slots = state.optimizer->slots();
  std::vector<std::byte> bytes;
  bytes.reserve(part_bytes(state.parameters.size(), slots.size()) + state.done.size() * sizeof(ShardDone));
  const PartHead head{state.base, state.base_position, state.optimizer->steps()};
  put(bytes, std::as_bytes(std::span(&head, 1)));
  put(bytes, std::as_bytes(std::span(state.parameters)));
  for (const auto& slot : slots) put(bytes, std::as_bytes(slot.values));
  for (const auto& [step, examples] : state.done) {
    const ShardDone each{.step = step, .examples = examples};
    put(bytes, std::as_bytes(std::span(&each, 1)));
  }
  return bytes;
}

Status decode_part(std::span<const std::byte> bytes, std::uint64_t part, const MakeOptimizer& make_optimizer,
                   ShardState& state) {
  auto optimizer = make_optimizer(static_cast<std::int64_t>(part));
  const auto slots = optimizer->slots();
  const std::uint64_t least = part_bytes(part, slots.size());
  if (bytes.size() < least || (bytes.size() - least) % sizeof(ShardDone) != 0)
    return no_part("it is of another length");
  PartHead head;
  bytes = get(bytes, std::span(&head, 1));
  if (head.base < 0 || head.base_position < 0 || head.optimizer_steps < 0)
    return no_part("it names a step before the first");
  std::vector<float> parameters(part);
  bytes = get(bytes, std::span(parameters));
  for (const auto& slot : slots) bytes = get(bytes, slot.values);
  std::map<std::int64_t, std::int64_t> done;
  while (!bytes.empty()) {
    ShardDone each;
    bytes = get(bytes, std::span(&each, 1));
    if (each.step < head.base || each.examples < 0) return no_part("it names updates that cannot be");
    done[each.step] = each.examples;
  }
  optimizer->set_steps(head.optimizer_steps);
  state.parameters = std::move(parameters);
  state.optimizer = std::move(optimizer);
  state.base = head.base;
  state.base_position = head.base_position;
  state.done = std::move(done);
  return {};
}

}  // namespace muster::worker
