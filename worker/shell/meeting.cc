// worker/shell/meeting.cc: who meets how
#include "worker/shell/meeting.h"

#include <utility>

#include "common/platform/log.h"
#include "worker/collective/mesh_part.h"
#include "worker/collective/solo.h"

namespace muster::worker {

Result<std::unique_ptr<Meeting>> Meeting::connect(MeshPort& port, const Job& job, Options options) {
  using std::chrono::seconds;
  auto meeting = std::make_unique<Meeting>();
  if (job.identity.size == 1) {
    meeting->workers_ = std::make_unique<Solo>();
    return meeting;
  }
  MUSTER_ASSIGN(auto mesh,
                port.connect({.identity = job.identity,
                              .key = job.key,
                              .encrypt = job.security.encrypt_traffic,
                              .peers = job.peers,
                              .peer_timeout = seconds(job.synchronization.peer_timeout_seconds),
                              // What is sent to a rank that still loads its data stays unacknowledged.
                              .tcp_user_timeout = options.start_timeout,
                              .log = [](const std::string& line) { spdlog::warn("{}", line); },
                              .refused = std::move(options.refused)},
                             deadline_after(options.connect_timeout)));
  spdlog::info("mesh complete topology={} encrypted={}", job.synchronization.topology,
               job.security.encrypt_traffic);
  if (job.nccl && options.nccl != nullptr) {
    meeting->mesh_ = std::move(mesh);
    auto met =
        options.nccl->meet({.number = job.identity.membership, .peers = job.peers}, *meeting->mesh_,
                           job.topology.value_or(Topology::kRing), deadline_after(options.connect_timeout));
    if (!met) {
      meeting->mesh_->leave(status_for_peers(ending_of(met.error()), job, job.identity.membership));
      return std::move(met).error();
    }
    meeting->workers_ = *std::move(met);
    const nccl::Library& library = *options.nccl->library();
    spdlog::info("gpus meet nccl={} shrunk={} gpus_here={}", nccl::version_words(library.version()),
                 options.nccl->shrunk(), library.gpus());
    if (library.gpus() > 1)
      spdlog::warn("this worker has {} GPUs and uses the first: ask for nvidia.com/gpu: 1 and more workers",
                   library.gpus());
    return meeting;
  }
  if (job.servers == 0) {
    meeting->workers_ = std::make_unique<MeshCollective>(std::move(mesh), job.topology);
    return meeting;
  }
  meeting->mesh_ = std::move(mesh);
  if (job.workers() == 1) {
    meeting->workers_ = std::make_unique<Solo>();
  } else if (!job.is_server()) {
    meeting->workers_ = std::make_unique<MeshCollective>(
        std::make_unique<MeshPart>(*meeting->mesh_, job.workers()), job.topology);
  }
  return meeting;
}

void Meeting::abort() noexcept {
  if (workers_ != nullptr) workers_->abort();
  if (mesh_ != nullptr) mesh_->abort();
}

void Meeting::leave(const Status& why) noexcept {
  if (workers_ != nullptr) workers_->leave(why);
  if (mesh_ != nullptr) mesh_->leave(why);
}

}  // namespace muster::worker
