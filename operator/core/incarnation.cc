// operator/core/incarnation.cc: which pods belong to the present incarnation, which must go
#include "operator/core/incarnation.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "operator/core/credentials.h"
#include "operator/core/failure_policy.h"
#include "operator/core/followers.h"
#include "operator/core/kueue.h"
#include "operator/core/lifecycle.h"
#include "operator/core/unscheduled.h"

namespace muster::op {
namespace {

constexpr const char* kAssignmentRejected = "AssignmentRejected";
constexpr auto kPreparation = std::chrono::minutes(1);
constexpr auto kSchedulerSilence = std::chrono::seconds(30);
constexpr int kServiceLooks = 4;  // every 8 s: into the cache, which costs the server nothing
constexpr std::int64_t kStandstillGraceSeconds = 1;  // it answers no signal; 0 would not wait for its end
constexpr auto kTerminatingLook = std::chrono::seconds(61);  // just after force_delete_due can become true

// Of a pod that its node has been preparing for a minute without a word: a kubelet tells what it cannot mount
// in events of the pod only.
std::optional<std::string> slow_preparation(Pass& pass, const Pod& pod) {
  const auto since = pod.scheduled ? pod.scheduled : pod.created;
  const bool prepares = fate_of(pod) == PodFate::kAlive && pod.phase == PodPhase::kPending &&
                        !pod.node.empty() && pod.ip.empty() && pod.message.empty() && since;
  if (!prepares || !pass.is_due(*since + kPreparation)) return std::nullopt;
  std::string told =
      fmt::format("{} waits for its volumes, network or image on {}: kubectl describe pod {} --namespace {}",
                  pod.name, pod.node, pod.name, pass.meta.ns);
  const std::string secret = credentials_name(pass.meta, pod.ca, pod.role, pod.index);
  if (pass.seen.found_credentials.contains(secret))
    told += fmt::format("; Secret {} with its keys was there already: if somebody else made it, delete it",
                        secret);
  return told;
}

// For a minute: a pod that has just come up is not ready either, and every word is a write.
bool runs_unready(Pass& pass, const Pod& pod) {
  const auto since = pod.scheduled ? pod.scheduled : pod.created;
  return fate_of(pod) == PodFate::kAlive && pod.phase == PodPhase::kRunning && !pod.ready &&
         !pod.unready.empty() && since && pass.is_due(*since + kPreparation);
}

// Why the pods are not all ready: the first reason that a person can act upon.
std::pair<std::string, std::string> waiting_reason(Pass& pass, const std::vector<const Pod*>& pods,
                                                   const std::string& counted) {
  for (const Pod* pod : pods) {
    if (const auto slow = slow_preparation(pass, *pod))
      return {pod->reason.empty() ? "ContainerCreating" : pod->reason, fmt::format("{}; {}", counted, *slow)};
    const bool early = pod->reason == kWaitingForScheduler && pod->created &&
                       !pass.is_due(*pod->created + kSchedulerSilence);
    if (early) continue;
    if (fate_of(*pod) == PodFate::kAlive && !pod->ready && !pod->reason.empty()) {
      std::string told =
          fmt::format("{}; {}: {}", counted, pod->name, pod->message.empty() ? pod->reason : pod->message);
      if (const std::string avoided = words_on_avoided(*pod, pass.seen.bad_nodes);
          pod->node.empty() && !avoided.empty())
        told += "; " + avoided;
      return {pod->reason, std::move(told)};
    }
  }
  for (const Pod* pod : pods)
    if (runs_unready(pass, *pod))
      return {"WaitingForPods", fmt::format("{}; {}: {}", counted, pod->name, pod->unready)};
  return {"WaitingForPods", counted};
}

std::optional<Obstacle> obstacle_to(const Pass& pass, bool named) {
  if (pass.obstacle) return pass.obstacle;
  if (!named) return pass.seen.obstacle;
  const std::string& name = pass.meta.name;
  switch (pass.seen.service) {
    case ServiceState::kForeign:
      return Obstacle{
          Obstacle::Kind::kNameTaken,
          fmt::format("Service {} exists and belongs to something else; delete it or rename this object",
                      name),
          kServiceLooks};
    case ServiceState::kPredecessors:
      return Obstacle{
          Obstacle::Kind::kPredecessor,
          fmt::format("Service {} of an earlier {} {} is still being deleted", name, pass.kind, name)};
    case ServiceState::kAbsent:
    case ServiceState::kOurs: break;
  }
  return pass.seen.obstacle;
}

const char* reason_of(Obstacle::Kind kind) {
  switch (kind) {
    case Obstacle::Kind::kNameTaken: return "NameConflict";
    case Obstacle::Kind::kPredecessor: return "WaitingForPredecessor";
    case Obstacle::Kind::kRefused:
    case Obstacle::Kind::kInvalid: break;
  }
  return "FailedCreate";
}

// kPermissionDenied is not one: another pod has the address by now, which the watch of pods will tell.
bool is_rejection(const Error& refusal) {
  return refusal.code == Code::kFailedPrecondition || refusal.code == Code::kInvalidArgument;
}

bool is_camel_case(const std::string& reason) {
  return !reason.empty() &&
         std::all_of(reason.begin(), reason.end(), [](unsigned char c) { return std::isalnum(c) != 0; });
}

}  // namespace

Incarnation incarnation_of(const std::vector<Pod>& pods, const std::string& role, std::int64_t number) {
  Incarnation members;
  for (const Pod& pod : pods) {
    if (pod.role != role) continue;
    if (pod.incarnation > number) members.stale = true;
    if (pod.incarnation == number) members.current.push_back(&pod);
    if (pod.incarnation < number) members.older.push_back(&pod);
  }
  const auto by_index = [](const Pod* a, const Pod* b) { return a->index < b->index; };
  std::sort(members.current.begin(), members.current.end(), by_index);
  std::sort(members.older.begin(), members.older.end(), by_index);
  return members;
}

bool is_done(const api::JobStatus& status, std::int64_t rank) {
  return std::binary_search(status.succeeded_ranks.begin(), status.succeeded_ranks.end(), rank);
}

std::int64_t done_and_gone(const api::JobStatus& status, const std::vector<const Pod*>& current) {
  return std::count_if(status.succeeded_ranks.begin(), status.succeeded_ranks.end(), [&](std::int64_t rank) {
    return std::none_of(current.begin(), current.end(),
                        [rank](const Pod* pod) { return pod->index == rank && pod->role == "worker"; });
  });
}

void remove_pod(Pass& pass, const Pod& pod, std::optional<std::int64_t> grace_seconds) {
  if (!pod.deletion) {
    pass.act(DeletePod{.name = pod.name, .uid = pod.uid, .grace_seconds = grace_seconds});
  } else if (force_delete_due(pod, pass.seen)) {
    pass.act(DeletePod{.name = pod.name, .uid = pod.uid, .grace_seconds = 0});
    pass.event("Warning", "ForceDeleted",
               fmt::format("pod {} is deleted by force: its node {} is lost", pod.name, pod.node));
  } else {
    const WallTime due = *pod.deletion + kTerminatingLook;
    pass.again_at(due > pass.seen.now ? due : pass.seen.now + kTerminatingLook);
  }
}

void remove_older(Pass& pass, const Incarnation& members) {
  std::set<const Pod*> still;
  for (const StillPod& each : standing_still(members.older)) {
    still.insert(each.pod);
    remove_pod(pass, *each.pod, kStandstillGraceSeconds);
  }
  for (const Pod* pod : members.older)
    if (!still.contains(pod)) remove_pod(pass, *pod);
}

bool creation_blocked(Pass& pass, bool named) {
  const auto obstacle = obstacle_to(pass, named);
  if (!obstacle) return false;
  const char* reason = reason_of(obstacle->kind);
  const api::Condition* told = api::find_condition(pass.before.conditions, "PodsReady");
  const bool passes = obstacle->kind == Obstacle::Kind::kPredecessor;  // by itself, and soon: no warning
  if (!passes && (told == nullptr || told->reason != reason))
    pass.event("Warning", reason, obstacle->message);
  pass.again_at(pass.seen.now + patience_with(*obstacle));
  return true;
}

void create_pod(Pass& pass, const std::string& role, const char* part, Json manifest) {
  admit(pass, role, manifest);
  avoid_bad_nodes(pass.seen.bad_nodes, manifest);
  pass.act(CreatePod{.manifest = std::move(manifest), .part = part, .strict = is_new_template(pass.before)});
}

void tell_refusals(Pass& pass) {
  const bool told = api::is_true(pass.before.conditions, kAssignmentRejected);
  for (const Pod& pod : pass.seen.pods) {
    const auto refusal = pass.seen.refusals.find(pod.uid);
    if (refusal == pass.seen.refusals.end() || !is_rejection(refusal->second)) continue;
    if (fate_of(pod) != PodFate::kAlive) continue;
    const std::string message = fmt::format("{}: {}", pod.name, refusal->second.message);
    if (!told) pass.event("Warning", kAssignmentRejected, message);
    pass.condition(kAssignmentRejected, true, kAssignmentRejected, message);
    return;
  }
  if (told && all_have_told(pass, true))
    pass.condition(kAssignmentRejected, false, "AssignmentsTaken", "no pod rejects its assignment");
}

void tell_readiness(Pass& pass, const std::vector<const Pod*>& pods, std::int64_t wanted, bool running,
                    bool named) {
  api::JobStatus& status = pass.after;
  const auto is_live = [](const Pod* pod) { return fate_of(*pod) == PodFate::kAlive; };
  const auto is_ready = [&](const Pod* pod) { return is_live(pod) && pod->ready; };
  const auto has_succeeded = [](const Pod* pod) { return fate_of(*pod) == PodFate::kSucceeded; };
  const auto done = std::count_if(pods.begin(), pods.end(), has_succeeded) + done_and_gone(status, pods);
  status.replicas = std::count_if(pods.begin(), pods.end(), is_live);
  status.ready_replicas = std::count_if(pods.begin(), pods.end(), is_ready);
  status.ready = fmt::format("{}/{}", status.ready_replicas, wanted);
  const std::string counted = fmt::format("{} of {} pods are ready", status.ready_replicas, wanted);
  if (const auto obstacle = obstacle_to(pass, named)) {
    pass.condition("PodsReady", false, reason_of(obstacle->kind), obstacle->message);
  } else if (status.ready_replicas + done >= wanted) {
    pass.condition("PodsReady", true, "AllReady",
                   done == 0 ? counted : fmt::format("{}, {} are done", counted, done));
  } else {
    auto [reason, message] = waiting_reason(pass, pods, counted);
    pass.condition("PodsReady", false, is_camel_case(reason) ? reason : "WaitingForPods", message);
  }
  if (!running) return;
  status.phase = "Running";
  const auto runs = [](const Pod* pod) {
    return fate_of(*pod) == PodFate::kAlive && pod->phase == PodPhase::kRunning;
  };
  const std::int64_t up = done + std::count_if(pods.begin(), pods.end(), runs);
  pass.condition("Running", true, "PodsRunning",
                 up >= wanted ? "all pods of the incarnation are running"
                              : fmt::format("{} of {} pods of the incarnation are running", up, wanted));
  if (api::is_true(status.conditions, "Restarting"))
    pass.condition("Restarting", false, "Restarted",
                   fmt::format("running in incarnation {}", status.incarnation));
}

}  // namespace muster::op
