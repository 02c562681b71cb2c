// worker/shell/job.cc: reads an assignment
#include "worker/shell/job.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/platform/permitted_path.h"
#include "common/pods/standstill.h"
#include "learning/checkpoint.h"
#include "pod/pod_contract.h"

namespace muster::worker {

Result<Job> parse(const control::v1::Assignment& assignment) {
  if (!assignment.has_worker())
    return invalid_argument("the assignment is not a worker's; is the image of this pod the right one?");
  const auto& worker = assignment.worker();
  Job job{.name = assignment.namespace_() + "/" + assignment.name(),
          .identity = {.job_uid = assignment.uid(),
                       .membership = assignment.membership(),
                       .rank = worker.rank(),
                       .size = worker.roster_size()}};
  for (const auto& member : worker.roster()) job.peers.push_back(member.address());
  if (job.identity.size < 1 || job.identity.rank < 0 || job.identity.rank >= job.identity.size)
    return invalid_argument(
        fmt::format("rank {} of {} peers is no place in a job", worker.rank(), worker.roster_size()));
  const std::string& key = assignment.membership_key();
  if (job.identity.size > 1 && key.size() != job.key.size()) {
    return invalid_argument(
        fmt::format("the assignment of {} workers has a membership key of {} bytes instead of {}: their "
                    "connections would be anyone's; is the operator of this worker's release?",
                    job.identity.size, key.size(), job.key.size()));
  }
  std::memcpy(job.key.data(), key.data(), std::min(key.size(), job.key.size()));
  MUSTER_ASSIGN(const Json json, parse_json(assignment.spec(), "spec"));
  MUSTER_ASSIGN(spec::DistributedJobSpec spec, spec::distributed_job_from_json(json));
  if (!spec.training) return invalid_argument("spec.training: required field is missing");
  job.training = *std::move(spec.training);
  job.synchronization = std::move(spec.synchronization);
  job.servers = worker.servers();
  if (job.servers != job.synchronization.servers() || job.servers >= job.identity.size)
    return invalid_argument(
        fmt::format("the assignment names {} parameter servers among {} pods, where the spec asks for {}; "
                    "is the operator of this worker's release?",
                    job.servers, job.identity.size, job.synchronization.servers()));
  job.parts = worker.parts();
  if (job.synchronization.is_gossip() && job.parts < job.workers())
    return invalid_argument(
        fmt::format("the assignment divides the examples into {} parts for {} workers; is the operator of "
                    "this worker's release?",
                    job.parts, job.workers()));
  job.compression = std::move(spec.compression);
  const bool open = job.synchronization.topology == "Auto";
  const bool direct = job.servers > 0 || job.synchronization.is_gossip() ||
                      (open && job.compression.by_codec());  // whose frames go so
  job.nccl = job.synchronization.by_nccl();
  job.topology = direct     ? Topology::kDirect
                 : job.nccl ? Topology::kRing
                            : topology_named(job.synchronization.topology);
  if (!job.topology && !open)
    return invalid_argument(
        fmt::format("spec.synchronization.topology: this worker knows no {}; is its image of "
                    "the operator's release?",
                    job.synchronization.topology));
  job.security = spec.security;
  // What may change between an interrupted training and its resumption is left out.
  Json same = spec::what_is_learnt(spec::to_json(job.training));
  Json usual = spec::to_json(spec::Training{});
  if (job.synchronization.is_gossip()) {  // each model is that of a part of the examples
    same["partition"] = spec::to_json(job.synchronization.gossip.value_or(spec::Gossip{}).partition);
    usual["partition"] = spec::to_json(spec::Partition{});
  }
  job.fingerprint = learning::fingerprint_of(same, usual);
  return job;
}

std::string checkpoint_folder(const Job& job, std::int64_t pod_index) {
  const std::string& path = job.training.checkpoint->path;
  return job.synchronization.is_gossip() ? fmt::format("{}/peer-{}", path, pod_index) : path;
}

Status permit_paths(const control::v1::Assignment& assignment, spec::Training& training) {
  if (std::string& path = training.dataset.path; !path.empty()) {
    MUSTER_ASSIGN(path, permitted_dataset(path, "spec.training.dataset.path"));
  }
  if (training.checkpoint) {
    std::string& path = training.checkpoint->path;
    MUSTER_ASSIGN(
        path, permitted_storage(path, "spec.training.checkpoint.path",
                                {assignment.writable_mounts().begin(), assignment.writable_mounts().end()}));
  }
  return {};
}

bool may_go_on(const Error& error) {
  return error.code == Code::kUnavailable || error.code == Code::kDeadlineExceeded ||
         error.code == Code::kAborted;
}

Status status_for_peers(const Ending& ending, const Job& job, std::int64_t newest) {
  if (ending.exit_code == 0) return {};
  const auto rank = static_cast<std::size_t>(job.identity.rank);
  const std::string name = rank_name(job.identity.rank, job.peers.empty() ? "" : job.peers[rank]);
  // No failure: the others' next assignment may be on its way to them, too.
  if (newest > job.identity.membership) return aborted(name + " goes on in another membership");
  return Error{ending.exit_code == kExitInvalid ? Code::kFailedPrecondition : Code::kUnavailable,
               fmt::format("{} ended: {}", name, ending.message)};
}

}  // namespace muster::worker
