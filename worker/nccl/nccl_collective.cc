// worker/nccl/nccl_collective.cc: which sums go where
#include "worker/nccl/nccl_collective.h"

#include <algorithm>

namespace muster::worker::nccl {
namespace {

constexpr std::chrono::seconds kFinishTime{2};  // for what is on its way between GPUs after the last sum

}  // namespace

Communicator::Watch watch_of(Mesh& mesh) {
  return [&mesh] { return mesh.wait({}, std::chrono::steady_clock::now()); };
}

Error blamed(Mesh& mesh, Error error) {
  if (error.code != Code::kDeadlineExceeded) return error;
  // The rank that a worker's words name last is the cause of what they tell (standstill.h).
  if (const auto late = mesh.blame()) return {late->code, error.message + "; by the mesh: " + late->message};
  return error;
}

Status NcclCollective::all_reduce_sum(std::span<float> buffer, Traffic traffic, Deadline deadline,
                                      std::size_t riders) {
  if (failure_) return *failure_;
  if (traffic != Traffic::kPayload) return control_->all_reduce_sum(buffer, traffic, deadline, riders);
  if (wait_limit_) deadline = std::min(deadline, deadline_after(*wait_limit_));
  Status done = communicator_.sum(buffer, watch_of(mesh_), deadline);
  if (done) return done;
  failure_ = blamed(mesh_, std::move(done).error());
  return *failure_;
}

Result<Settled> NcclCollective::settle(std::size_t /*elements*/, std::string_view /*known*/,
                                       std::chrono::milliseconds /*timeout*/) {
  if (failure_) return *failure_;
  return Settled{.topology = kTopology};
}

void NcclCollective::limit_waits(std::optional<std::chrono::milliseconds> limit) {
  wait_limit_ = limit;
  control_->limit_waits(limit);
}

std::uint64_t NcclCollective::all_reduce_bytes(std::size_t /*elements*/) const { return 0; }

Status NcclCollective::exchange(std::span<std::byte> memory, std::size_t payload, std::size_t alike,
                                std::span<const Parcel> to, std::span<const Parcel> from, Deadline deadline) {
  if (failure_) return *failure_;
  return control_->exchange(memory, payload, alike, to, from, deadline);
}

Status NcclCollective::broadcast(std::span<std::byte> buffer, int root, Deadline deadline) {
  if (failure_) return *failure_;
  return control_->broadcast(buffer, root, deadline);
}

Status NcclCollective::barrier(Deadline deadline) {
  if (failure_) return *failure_;
  return control_->barrier(deadline);
}

void NcclCollective::leave(const Status& why) noexcept {
  if (why && !failure_) (void)communicator_.finish(watch_of(mesh_), deadline_after(kFinishTime));
  control_->leave(why);
}

}  // namespace muster::worker::nccl
