// operator/core/reconcile_distributed_job.cc: what to do next for one DistributedJob
#include "operator/core/reconcile_distributed_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "operator/api/mounts.h"
#include "operator/core/assignment.h"
#include "operator/core/credentials.h"
#include "operator/core/failure_policy.h"
#include "operator/core/incarnation.h"
#include "operator/core/lifecycle.h"
#include "operator/core/pod_plan.h"
#include "operator/core/progress.h"
#include "operator/core/roster.h"
#include "operator/core/ttl.h"
#include "operator/core/worker_failures.h"

namespace muster::op {
namespace {

constexpr const char* kKind = "DistributedJob";
constexpr const char* kRole = "worker";
constexpr auto kStaleLook = std::chrono::milliseconds(200);

void note_succeeded(Pass& pass, const std::vector<const Pod*>& workers) {
  auto& done = pass.after.succeeded_ranks;
  for (const Pod* pod : workers) {
    if (fate_of(*pod) != PodFate::kSucceeded || is_done(pass.after, pod->index)) continue;
    done.insert(std::upper_bound(done.begin(), done.end(), pod->index), pod->index);
  }
}

// The membership ran to its end: every one of its members has succeeded.
bool all_succeeded(const api::JobStatus& status, const std::vector<const Pod*>& workers,
                   std::int64_t replicas) {
  const bool told = !workers.empty() && workers.front()->world_size > 0;
  const std::int64_t members = told ? workers.front()->world_size : replicas;
  return std::ssize(status.succeeded_ranks) >= members;
}

// Creates what is missing, once every pod of an older incarnation is gone: two pods of one rank break a
// rendezvous.
void create_missing(Pass& pass, const api::DistributedJobSpec& spec, const Incarnation& members) {
  for (const Pod* pod : members.older) remove_pod(pass, *pod);
  const bool ours = spec.training.has_value();
  if (creation_blocked(pass)) return;
  if (pass.seen.service == ServiceState::kAbsent)
    pass.act(CreateService{service_manifest(pass.meta, kKind, ours)});
  if (!members.older.empty()) return;
  if (const auto when = create_not_before(pass.after); when && pass.seen.now < *when) {
    pass.again_at(*when);
    return;
  }
  std::set<std::int64_t> present;
  for (const Pod* pod : members.current) present.insert(pod->index);
  present.insert(pass.after.succeeded_ranks.begin(), pass.after.succeeded_ranks.end());
  std::int64_t created = 0;
  CredentialsBlocks keys(pass, kRole);
  for (std::int64_t index = 0; index < spec.workers.replicas; ++index) {
    if (present.contains(index)) continue;
    ++created;
    if (ours) keys.before_pod(index);
    pass.act(CreatePod{pod_manifest({.owner = pass.meta,
                                     .kind = kKind,
                                     .role = kRole,
                                     .index = index,
                                     .incarnation = pass.after.incarnation,
                                     .attempt = 0,
                                     .world_size = spec.workers.replicas,
                                     .pod_template = spec.workers.pod_template,
                                     .image_is_ours = ours,
                                     .default_image = pass.seen.defaults.worker_image,
                                     .ca = pass.seen.ca})});
  }
  if (created > 0) {
    pass.event("Normal", "PodsCreated",
               fmt::format("created {} pods of incarnation {}", created, pass.after.incarnation));
  }
}

// Ranks and roster, once every member has an address and its Agent answers.
void configure(Pass& pass, const api::DistributedJobSpec& spec, const std::string& for_pods,
               const std::vector<const Pod*>& workers) {
  const std::int64_t membership = pass.before.membership;
  if (pass.before.formed_incarnation != pass.before.incarnation ||
      std::ssize(workers) != spec.workers.replicas)
    return;
  auto roster = roster_of(pass.seen, workers);
  if (!roster) return;
  auto common = std::make_shared<control::v1::Assignment>(assignment_to(pass, for_pods));
  *common->mutable_worker()->mutable_roster() = std::move(*roster);
  for (std::string& mount : api::writable_mounts(spec.workers.pod_template, kRole))
    common->add_writable_mounts(std::move(mount));
  for (const Pod* pod : workers) {
    const auto agent = pass.seen.agents.find(pod->uid);
    if (fate_of(*pod) != PodFate::kAlive || agent == pass.seen.agents.end()) continue;
    if (agent->second.membership() >= membership) continue;
    ConfigurePod call{.pod = pod->name, .uid = pod->uid, .ip = pod->ip, .common = common};
    call.own.mutable_worker()->set_rank(static_cast<std::int32_t>(pod->index));
    pass.act(std::move(call));
  }
}

bool all_running(const std::vector<const Pod*>& workers, std::int64_t wanted) {
  const auto began = [](const Pod* pod) {
    return pod->phase == PodPhase::kRunning || pod->phase == PodPhase::kSucceeded;
  };
  return std::ssize(workers) == wanted && std::all_of(workers.begin(), workers.end(), began);
}

void conclude(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& workers) {
  if (spec.training) {
    fold_workers(pass, workers);
    if (const auto diverged = parameters_diverged(pass, workers)) {
      fail(pass, "ParametersDiverged", *diverged);
      return;
    }
  }
  succeed(pass, fmt::format("all {} workers succeeded", pass.after.succeeded_ranks.size()));
}

bool suspended(Pass& pass, const api::DistributedJobSpec& spec) {
  if (!spec.suspend) return false;
  suspend(pass, spec.workers.replicas);
  if (pass.before.phase ==
      "Suspended")  // the status landed first: a crash in between deletes no running work unannounced
    for (const Pod& pod : pass.seen.pods) remove_pod(pass, pod);
  return true;
}

void run(Pass& pass, const api::DistributedJobSpec& spec, const std::string& for_pods) {
  pass.observe_generation();
  if (spec.suspend && pass.before.incarnation == 0) {
    suspended(pass, spec);
    return;
  }
  start(pass);
  if (spec.training) follow_agents(pass);
  const Incarnation members = incarnation_of(pass.seen.pods, kRole, pass.after.incarnation);
  if (members.stale) {  // a newer pass of ours wrote a status that this snapshot has not seen
    pass.after = pass.before;
    pass.again_at(pass.seen.now + kStaleLook);
    return;
  }
  note_succeeded(pass, members.current);
  if (all_succeeded(pass.after, members.current, spec.workers.replicas))
    return conclude(pass, spec, members.current);
  if (suspended(pass, spec)) return;
  resume(pass);
  if (deadline_passed(pass, spec.run_policy.active_deadline_seconds) || children_invalid(pass)) return;
  if (judge_workers(pass, spec, members.current)) return;
  create_missing(pass, spec, members);
  const std::int64_t wanted = spec.workers.replicas - done_and_gone(pass.after, members.current);
  if (std::ssize(members.current) == wanted) pass.after.formed_incarnation = pass.after.incarnation;
  if (spec.training) {
    configure(pass, spec, for_pods, members.current);
    fold_workers(pass, members.current);
    tell_rejections(pass, members.current);
  }
  tell_readiness(pass, members.current, spec.workers.replicas, all_running(members.current, wanted));
}

}  // namespace

Decision reconcile(const ObservedJob& seen) {
  Pass pass(seen, seen.job.meta, kKind, seen.job.status);
  if (seen.job.meta.deletion) return {};
  if (seen.job.status.finished()) {
    clean_up(pass, seen.job.spec ? seen.job.spec->run_policy : spec::RunPolicy{});
    return land(std::move(pass));
  }
  pass.after.observed_generation = seen.job.meta.generation;
  pass.after.selector = selector_of(seen.job.meta, kRole);
  if (const Status name = check_name(seen.job.meta.name); !name) {
    fail(pass, "InvalidSpec", name.error().message);
  } else if (!seen.job.spec) {
    refuse_spec(pass, seen.job.spec.error().message);
  } else {
    run(pass, *seen.job.spec, seen.job.for_pods);
  }
  return land(std::move(pass));
}

}  // namespace muster::op
