#pragma once  // worker/nccl/nccl_collective.h: the collective whose gradients are summed by GPUs
#include <chrono>
#include <memory>
#include <optional>

#include "worker/collective/mesh_collective.h"
#include "worker/nccl/communicator.h"

namespace muster::worker::nccl {

// Sums that count as payload go over NCCL; all else over the mesh, which also keeps watch: a rank that is
// lost ends a sum as fast as on any other topology, and one that does not come to it is named. NCCL does not
// tell what it sends: payload bytes are 0, sent and by formula.
class NcclCollective final : public Collective {
 public:
  static constexpr const char* kTopology = "NCCL";  // spec.synchronization.topology

  // `mesh` and `communicator`, which has joined, outlive it; `control` is over that mesh.
  NcclCollective(Mesh& mesh, std::unique_ptr<MeshCollective> control, Communicator& communicator)
      : mesh_(mesh), control_(std::move(control)), communicator_(communicator) {}

  [[nodiscard]] int rank() const override { return control_->rank(); }
  [[nodiscard]] int size() const override { return control_->size(); }
  // Which order the GPUs sum in is NCCL's choice: the same bits on all ranks, and those of another topology
  // where sums are exact, or of two values.
  Status all_reduce_sum(std::span<float> buffer, Traffic traffic, Deadline deadline,
                        std::size_t riders) override;
  Result<Settled> settle(std::size_t elements, std::string_view known,
                         std::chrono::milliseconds timeout) override;
  void limit_waits(std::optional<std::chrono::milliseconds> limit) override;
  [[nodiscard]] std::uint64_t all_reduce_bytes(std::size_t elements) const override;
  Status exchange(std::span<std::byte> memory, std::size_t payload, std::size_t alike,
                  std::span<const Parcel> to, std::span<const Parcel> from, Deadline deadline) override;
  Status broadcast(std::span<std::byte> buffer, int root, Deadline deadline) override;
  Status barrier(Deadline deadline) override;
  Status state() override { return failure_ ? Status(*failure_) : control_->state(); }
  [[nodiscard]] TrafficBytes bytes_sent() const override { return control_->bytes_sent(); }
  void abort() noexcept override { control_->abort(); }
  void leave(const Status& why) noexcept override;

 private:
  Mesh& mesh_;
  std::unique_ptr<MeshCollective> control_;
  Communicator& communicator_;
  std::optional<std::chrono::milliseconds> wait_limit_;
  std::optional<Error> failure_;
};

// Fails as soon as a rank of the mesh is known to be lost; counts as a wait of this rank.
[[nodiscard]] Communicator::Watch watch_of(Mesh& mesh);
// A deadline that is over, with the name of the rank that did not come where the mesh knows it.
[[nodiscard]] Error blamed(Mesh& mesh, Error error);

}  // namespace muster::worker::nccl
