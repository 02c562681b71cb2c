// worker/collective/mesh_collective.cc: which schedule a call takes
#include "worker/collective/mesh_collective.h"

#include <algorithm>
#include <chrono>

#include "common/base/check.h"
#include "worker/collective/candidates.h"

namespace muster::worker {
namespace {

enum class Kind : std::uint32_t { kAllReduce = 1, kBroadcast = 2, kExchange = 3 };

// Up to this size a whole vector in one step is faster than two halves in two.
constexpr std::size_t kExchangeBytes = 256 * 1024;
// What is timed in place of anything larger: the links' bandwidth decides there as well.
constexpr std::size_t kTimedElements = 1024 * 1024;

CallHeader header_of(Kind kind, std::uint32_t how, std::uint32_t call, std::size_t bytes) {
  return {.kind = static_cast<std::uint32_t>(kind) | how << 8U, .call = call, .bytes = bytes};
}

}  // namespace

std::string_view name_of(Topology topology) {
  switch (topology) {
    case Topology::kRing: return "Ring";
    case Topology::kHalvingDoubling: return "HalvingDoubling";
    case Topology::kTree: return "Tree";
    case Topology::kAllToAll: return "AllToAll";
    case Topology::kDirect: return "Direct";
  }
  return "";
}

std::optional<Topology> topology_named(std::string_view name) {
  for (const Topology topology : kTopologies)
    if (name_of(topology) == name) return topology;
  return std::nullopt;
}

Schedule all_reduce_schedule(Topology topology, int rank, int ranks, Extent extent) {
  switch (topology) {
    case Topology::kRing:
      if (ranks == 2 && extent.all() * sizeof(float) <= kExchangeBytes)
        return exchange_all_reduce(rank, extent);
      return ring_all_reduce(rank, ranks, extent);
    case Topology::kHalvingDoubling: return halving_doubling_all_reduce(rank, ranks, extent);
    case Topology::kTree: return tree_all_reduce(rank, ranks, extent);
    case Topology::kAllToAll: return all_to_all_all_reduce(rank, ranks, extent);
    case Topology::kDirect: return direct_all_reduce(rank, ranks, extent);
  }
  return {};
}

MeshCollective::MeshCollective(std::unique_ptr<Mesh> mesh, std::optional<Topology> topology)
    : mesh_(std::move(mesh)),
      topology_(topology.value_or(Topology::kRing)),
      open_(!topology),
      executor_(*mesh_) {
  MUSTER_CHECK(mesh_->size() >= 2);
}

Status MeshCollective::all_reduce_sum(std::span<float> buffer, Traffic traffic, Deadline deadline,
                                      std::size_t riders) {
  MUSTER_CHECK(riders <= buffer.size());
  if (buffer.empty()) return {};
  const auto bytes = std::as_writable_bytes(buffer);
  const Extent extent{.elements = buffer.size() - riders, .riders = riders};
  const auto how = static_cast<std::uint32_t>(traffic) | static_cast<std::uint32_t>(topology_) << 8U;
  const Schedule schedule = all_reduce_schedule(topology_, rank(), size(), extent);
  return run({.schedule = schedule,
              .extent = extent,
              .buffer = bytes,
              .element = sizeof(float),
              .header = header_of(Kind::kAllReduce, how, calls_++, bytes.size())},
             traffic, deadline);
}

Status MeshCollective::exchange(std::span<std::byte> memory, std::size_t payload, std::size_t alike,
                                std::span<const Parcel> to, std::span<const Parcel> from, Deadline deadline) {
  MUSTER_CHECK(payload <= memory.size());
  Schedule schedule;
  for (const Parcel& parcel : to)
    (void)schedule.add({.kind = Move::Kind::kSend, .peer = parcel.peer, .chunk = parcel.chunk});
  for (const Parcel& parcel : from)
    (void)schedule.add({.kind = Move::Kind::kStore, .peer = parcel.peer, .chunk = parcel.chunk});
  return run({.schedule = schedule,
              .extent = {.elements = payload, .riders = memory.size() - payload},
              .buffer = memory,
              .element = 1,
              .header = header_of(Kind::kExchange, 0, calls_++, alike)},
             Traffic::kPayload, deadline);
}

Status MeshCollective::time_each(std::span<const Topology> topologies, std::span<float> zeros,
                                 std::span<float> seconds, std::chrono::milliseconds timeout) {
  using std::chrono::steady_clock;
  for (std::size_t i = 0; i < topologies.size(); ++i) {
    topology_ = topologies[i];
    const auto begun = steady_clock::now();
    MUSTER_TRY(all_reduce_sum(zeros, Traffic::kControl, deadline_after(timeout), 0));
    seconds[i] += std::chrono::duration<float>(steady_clock::now() - begun).count();
  }
  return {};
}

// What every rank does follows from sums that all have.
Result<Settled> MeshCollective::settle(std::size_t elements, std::string_view known,
                                       std::chrono::milliseconds timeout) {
  if (!open_) return Settled{.topology = name_of(topology_)};
  if (const auto earlier = topology_named(known)) {
    topology_ = *earlier;
    return Settled{.topology = name_of(topology_), .picked = true};
  }
  std::vector<float> zeros(std::clamp<std::size_t>(elements, 1, kTimedElements));
  std::vector<Topology> candidates = candidates_for(size(), elements);
  std::vector<float> seconds(candidates.size());
  const auto of_all_ranks = [&] {  // the same on each
    topology_ = Topology::kRing;
    return all_reduce_sum(seconds, Traffic::kControl, deadline_after(timeout), 0);
  };
  MUSTER_TRY(
      time_each(candidates, zeros, seconds, timeout));  // makes the connections, which is no part of a sum
  seconds.assign(candidates.size(), 0);
  MUSTER_TRY(time_each(candidates, zeros, seconds, timeout));
  MUSTER_TRY(of_all_ranks());
  const int rounds = timing_rounds(seconds, size());
  candidates = in_reach(candidates, seconds);
  seconds.assign(candidates.size(), 0);
  for (int round = 0; round < rounds; ++round) MUSTER_TRY(time_each(candidates, zeros, seconds, timeout));
  MUSTER_TRY(of_all_ranks());
  const auto best = std::ranges::min_element(seconds) - seconds.begin();
  topology_ = candidates[static_cast<std::size_t>(best)];
  return Settled{.topology = name_of(topology_), .picked = true};
}

Status MeshCollective::broadcast(std::span<std::byte> buffer, int root, Deadline deadline) {
  MUSTER_CHECK(root >= 0 && root < size());
  if (buffer.empty()) return {};
  const Extent extent{.elements = buffer.size()};
  const Schedule schedule = topology_ == Topology::kRing ? chain_broadcast(rank(), size(), root, extent)
                                                         : tree_broadcast(rank(), size(), root, extent);
  return run(
      {.schedule = schedule,
       .extent = extent,
       .buffer = buffer,
       .element = 1,
       .header = header_of(Kind::kBroadcast, static_cast<std::uint32_t>(root), calls_++, buffer.size())},
      Traffic::kControl, deadline);
}

Status MeshCollective::barrier(Deadline deadline) {
  // A sum with one element a rank: its end depends on every rank's beginning.
  std::vector<float> ones(static_cast<std::size_t>(size()), 1.0F);
  return all_reduce_sum(ones, Traffic::kControl, deadline, 0);
}

std::uint64_t MeshCollective::all_reduce_bytes(std::size_t elements) const {
  const Extent extent{.elements = elements};
  return sizeof(float) *
         payload_elements(all_reduce_schedule(topology_, rank(), size(), extent), rank(), extent);
}

Status MeshCollective::run(const Executor::Call& call, Traffic traffic, Deadline deadline) {
  const SentBytes before = executor_.sent();
  if (wait_limit_) deadline = std::min(deadline, deadline_after(*wait_limit_));
  Status done = executor_.run(call, deadline);
  const SentBytes after = executor_.sent();
  (traffic == Traffic::kPayload ? sent_.payload : sent_.control) += after.payload - before.payload;
  sent_.control += after.control - before.control;
  return done;
}

}  // namespace muster::worker
