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
