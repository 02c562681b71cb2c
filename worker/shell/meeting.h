#pragma once  // worker/shell/meeting.h: the mesh of one membership, and the collective of its workers
#include <memory>

#include "worker/collective/collective.h"
#include "worker/nccl/group.h"
#include "worker/shell/job.h"
#include "worker/transport/tcp_mesh.h"

namespace muster::worker {

class Meeting {
 public:
  struct Options {
    std::chrono::milliseconds connect_timeout{60'000};
    std::chrono::milliseconds start_timeout{600'000};  // a rank that loads its data takes nothing for so long
    std::function<void(Refusal)> refused;
    nccl::Group* nccl =
        nullptr;  // of the process; used where the job's GPUs sum, and outlives the meeting then
  };
  // Connects all ranks of the job. Errors: MeshPort::connect's; nccl::Group::meet's.
  [[nodiscard]] static Result<std::unique_ptr<Meeting>> connect(MeshPort& port, const Job& job,
                                                                Options options);

  // Of the ranks that train; not on a parameter server.
  [[nodiscard]] Collective& workers() { return *workers_; }
  // All ranks, for parameter servers and their clients; only where there are servers, or NCCL sums.
  [[nodiscard]] Mesh& mesh() { return *mesh_; }

  // Collective's.
  void abort() noexcept;  // any thread
  void leave(const Status& why) noexcept;

 private:
  std::unique_ptr<Mesh> mesh_;           // where others than the workers' collective use it, too
  std::unique_ptr<Collective> workers_;  // over it, or over a mesh of its own
};

}  // namespace muster::worker
