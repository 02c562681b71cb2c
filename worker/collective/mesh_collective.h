#pragma once  // worker/collective/mesh_collective.h: the collective over a mesh, by the schedules of a
              // topology
#include <array>
#include <memory>
#include <optional>
#include <string_view>

#include "worker/collective/collective.h"
#include "worker/collective/executor.h"
#include "worker/collective/schedule.h"
#include "worker/transport/mesh.h"

namespace muster::worker {

// How an all-reduce goes; the words are those of spec.synchronization.topology.
enum class Topology : std::uint8_t { kRing, kHalvingDoubling, kTree, kAllToAll, kDirect };
inline constexpr std::array kTopologies{Topology::kRing, Topology::kHalvingDoubling, Topology::kTree,
                                        Topology::kAllToAll, Topology::kDirect};
[[nodiscard]] std::string_view name_of(Topology topology);
[[nodiscard]] std::optional<Topology> topology_named(std::string_view name);

// The plan of an all-reduce. A ring of two exchanges whole vectors while they are small.
[[nodiscard]] Schedule all_reduce_schedule(Topology topology, int rank, int ranks, Extent extent);

class MeshCollective final : public Collective {
 public:
  // A mesh of at least two ranks. `topology` nullopt: open, a ring until it is settled.
  MeshCollective(std::unique_ptr<Mesh> mesh, std::optional<Topology> topology);

  [[nodiscard]] int rank() const override { return mesh_->rank(); }
  [[nodiscard]] int size() const override { return mesh_->size(); }
  Status all_reduce_sum(std::span<float> buffer, Traffic traffic, Deadline deadline,
                        std::size_t riders) override;
  Status exchange(std::span<std::byte> memory, std::size_t payload, std::size_t alike,
                  std::span<const Parcel> to, std::span<const Parcel> from, Deadline deadline) override;
  Result<Settled> settle(std::size_t elements, std::string_view known,
                         std::chrono::milliseconds timeout) override;
  Status broadcast(std::span<std::byte> buffer, int root, Deadline deadline) override;
  Status barrier(Deadline deadline) override;
  void limit_waits(std::optional<std::chrono::milliseconds> limit) override { wait_limit_ = limit; }
  [[nodiscard]] std::uint64_t all_reduce_bytes(std::size_t elements) const override;
  [[nodiscard]] TrafficBytes bytes_sent() const override { return sent_; }
  Status state() override { return mesh_->state(); }
  void abort() noexcept override { mesh_->abort(); }
  void leave(const Status& why) noexcept override { mesh_->leave(why); }

 private:
  [[nodiscard]] Status run(const Executor::Call& call, Traffic traffic, Deadline deadline);
  // One sum of `zeros` by each of `topologies`, in turn; adds the seconds of each to `seconds`.
  [[nodiscard]] Status time_each(std::span<const Topology> topologies, std::span<float> zeros,
                                 std::span<float> seconds, std::chrono::milliseconds timeout);

  std::unique_ptr<Mesh> mesh_;
  Topology topology_;
  bool open_;  // settle decides the topology
  Executor executor_;
  std::optional<std::chrono::milliseconds> wait_limit_;
  std::uint32_t calls_ = 0;
  TrafficBytes sent_;
};

}  // namespace muster::worker
