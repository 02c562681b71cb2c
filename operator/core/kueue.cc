// operator/core/kueue.cc: the part of Kueue's protocol that a job's own controller speaks
#include "operator/core/kueue.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/text.h"
#include "common/json/access.h"
#include "common/spec/pod_templates.h"
#include "operator/core/kueue_workload.h"

namespace muster::op {
namespace {

constexpr const char* kCondition = "Admitted";
constexpr const char* kQueueLabel = "kueue.x-k8s.io/queue-name";
constexpr auto kLook = std::chrono::seconds(16);  // at what only an installation or a right changes

using Kind = QueueVerdict::Kind;

// The Workload is cleared away, or knows of the end.
bool is_last_word(const std::string& reason) { return reason == "Finished" || reason == "NotQueued"; }

bool leaves(const Json& object) { return !meta_text(object, "deletionTimestamp").empty(); }
bool is_active(const Json& workload) { return boolean(member(workload, "spec", "active"), true); }

// The object has, or had, pods: it was admitted once and not stopped since.
bool runs(const Pass& pass) {
  return pass.before.incarnation > 0 && !api::is_true(pass.before.conditions, "Suspended");
}

// Why Kueue cannot be asked; empty: it can.
std::string out_of_reach(const SchedulingSeen& seen) {
  if (!seen.known) return seen.problem.empty() ? "the API server was not asked for Kueue yet" : seen.problem;
  if (!seen.queue.kind)
    return fmt::format(
        "label {} asks for Kueue, and the API server serves no workloads.kueue.x-k8s.io: install Kueue, or "
        "remove the label",
        kQueueLabel);
  return seen.queue.refusal;
}

QueueVerdict held(std::string reason, std::string message) {
  return {.kind = Kind::kHeld, .hold = {std::move(reason), std::move(message)}};
}

std::string why_waiting(const Pass& pass, const Json& workload) {
  std::string said;
  for (const char* type : {"QuotaReserved", "Admitted"})
    if (said.empty() && !holds(workload, type)) said = message_of(workload, type);
  if (const Json& checks = member(workload, "status", "admissionChecks"); checks.is_array())
    for (const Json& check : checks)
      if (text_at(check, "state") != "Ready" && !text_at(check, "message").empty())
        said = printable(text_at(check, "name") + ": " + text_at(check, "message"));
  return fmt::format("in queue {}{}{}", pass.meta.queue, said.empty() ? "" : ": ", said);
}

// After an eviction: its quota is given back, and Kueue says what the next admission waits for.
bool waits_again(const Pass& pass, const Json& workload) {
  return pass.seen.pods.empty() && !member(workload, "status", "admission").is_object() &&
         message_of(workload, "QuotaReserved") != message_of(workload, "Evicted");
}

QueueVerdict judge_admission(const Pass& pass, const Json& workload) {
  const SchedulingSeen& seen = pass.seen.scheduling;
  QueueVerdict verdict{.kind = Kind::kAdmitted};
  if (std::ssize(pass.seen.pods) >= pods_of(workload)) return verdict;
  for (const std::string& name : flavors_of(workload)) {
    const auto flavor = seen.flavors.find(name);
    if (flavor != seen.flavors.end() && !flavor->second.is_null()) continue;
    verdict.hold = {"FlavorUnknown",
                    fmt::format("ResourceFlavor {} of the admission cannot be read: {}", name,
                                seen.flavor_problem.empty() ? "it does not exist" : seen.flavor_problem)};
  }
  return verdict;
}

// After an eviction the quota is given back when no pod is left, and not before.
void give_back(Pass& pass, const Json& workload) {
  const std::string reason = text(member(*workload_condition(workload, "Evicted"), "reason"), "Evicted");
  const std::string message = message_of(workload, "Evicted");
  const WallTime now = pass.seen.now;
  // Of other reasons Kueue itself says when it may be queued again.
  const bool requeued = reason == "Preempted" || reason == "AdmissionCheck" || reason == "NodeFailures";
  std::vector<Json> conditions{changed(workload, "QuotaReserved", false, "Pending", message, now),
                               changed(workload, "Requeued", requeued, reason, message, now)};
  if (workload_condition(workload, "Admitted") != nullptr)
    conditions.push_back(
        changed(workload, "Admitted", false, "NoReservation", "The workload has no reservation", now));
  patch_workload(pass, workload, conditions, {{"admission", nullptr}});
}

void tell_pods(Pass& pass, const Json& workload) {
  const api::Condition* pods = api::find_condition(pass.after.conditions, "PodsReady");
  if (pods == nullptr) return;
  const bool ready = pods->status;
  const Json* before = workload_condition(workload, "PodsReady");
  const bool told = holds(workload, "PodsReady");
  if (ready == told || (!ready && before == nullptr)) return;
  const bool first = before == nullptr || text_at(*before, "reason") == "WaitForStart";
  const char* reason = !ready ? "WaitForRecovery" : first ? "Started" : "Recovered";
  patch_workload(pass, workload,
                 {changed(workload, "PodsReady", ready, reason, pods->message, pass.seen.now)},
                 Json::object());
}

void remove_workload(Pass& pass, const Json& workload) {
  if (!leaves(workload))
    pass.act(DeleteChild{.api = *pass.seen.scheduling.queue.kind,
                         .name = meta_text(workload, "name"),
                         .uid = meta_text(workload, "uid")});
}

void create_workload(Pass& pass, const std::vector<PodSet>& sets) {
  const QueuePriority& priority = pass.seen.scheduling.priority;
  if (!priority.name.empty() && !priority.value) {
    pass.condition(kCondition, false, "PriorityClassUnknown",
                   fmt::format("{} {} cannot be read: {}",
                               priority.group == "kueue.x-k8s.io" ? "WorkloadPriorityClass" : "PriorityClass",
                               priority.name, priority.problem));
    pass.again_at(pass.seen.now + kLook);
    return;
  }
  pass.act(workload_of(pass, sets));
}

std::string priority_of_templates(const Json& object) {
  for (const spec::PodTemplatePlace& place : spec::kPodTemplates) {
    const Json& name = member(spec::template_at(object, place), "spec", "priorityClassName");
    if (name.is_string()) return name.get<std::string>();
  }
  return "";
}

}  // namespace

bool needs_queue(const Json& object) {
  const std::string phase = text(member(object, "status", "phase"));
  const Json* told = workload_condition(object, kCondition);
  const std::string reason = told == nullptr ? "" : text_at(*told, "reason");
  const bool told_all = reason.empty() || is_last_word(reason);
  const bool edited = integer(member(object, "metadata", "generation")) >
                      integer(member(object, "status", "observedGeneration"));  // it may begin anew
  if ((phase == "Succeeded" || phase == "Failed") && !edited) return !told_all;
  return !told_all || member(object, "metadata", "labels", kQueueLabel).is_string();
}

QueueQuestions questions_of(const Json& object, const SchedulingSeen& seen, std::size_t pods) {
  QueueQuestions questions;
  if (!seen.workload.known) return questions;
  if (seen.workload.object == nullptr) {
    const std::string own = text(member(object, "metadata", "labels", "kueue.x-k8s.io/priority-class"));
    if (!own.empty())
      questions.priority_class = std::pair("kueue.x-k8s.io", own);
    else if (const std::string of_pods = priority_of_templates(object); !of_pods.empty())
      questions.priority_class = std::pair("scheduling.k8s.io", of_pods);
  } else if (static_cast<std::int64_t>(pods) < pods_of(*seen.workload.object)) {
    const auto names = flavors_of(*seen.workload.object);
    questions.flavors.assign(names.begin(), names.end());
  }
  return questions;
}

QueueVerdict judge_queue(const Pass& pass, const std::vector<PodSet>& sets) {
  if (pass.meta.queue.empty()) return {};
  const SchedulingSeen& seen = pass.seen.scheduling;
  const std::string unreachable = out_of_reach(seen);
  if (!unreachable.empty() || !seen.workload.known) {
    // What runs was admitted; it is not stopped because nobody can be asked.
    if (runs(pass))
      return {.kind = Kind::kAdmitted,
              .hold = {"QueueUnknown", unreachable.empty() ? "the Workload is not read yet" : unreachable}};
    if (unreachable.empty()) return {.kind = Kind::kUnknown};
    return held("QueueUnavailable", unreachable);
  }
  if (seen.workload.object == nullptr) return held("Queued", fmt::format("in queue {}", pass.meta.queue));
  const Json& workload = *seen.workload.object;
  if (leaves(workload) || is_outdated(pass, workload, sets))
    return held("Queued",
                fmt::format("is queued anew in {}: what it asks for was changed, or its Workload deleted",
                            pass.meta.queue));
  const std::string evicted = holds(workload, "Evicted") ? message_of(workload, "Evicted") : "";
  if (!is_active(workload))
    return held("Deactivated",
                fmt::format("its Workload {} is not active{}: set its spec.active to true",
                            meta_text(workload, "name"), evicted.empty() ? "" : " (" + evicted + ")"));
  if (holds(workload, "Evicted") && !waits_again(pass, workload))
    return held("Evicted", "evicted by Kueue: " + evicted);
  if (!holds(workload, "Admitted") || !member(workload, "status", "admission").is_object())
    return held("Queued", why_waiting(pass, workload));
  return judge_admission(pass, workload);
}

void tend_workload(Pass& pass, const std::vector<PodSet>& sets, const QueueVerdict& verdict, bool wanted) {
  const SchedulingSeen& seen = pass.seen.scheduling;
  const api::Condition* told = api::find_condition(pass.after.conditions, kCondition);
  if (verdict.kind == Kind::kNone && (told == nullptr || is_last_word(told->reason))) return;
  if (!wanted)
    pass.condition(kCondition, false, "Suspended", "it is in no queue while it is suspended");
  else if (verdict.kind == Kind::kHeld)
    pass.condition(kCondition, false, verdict.hold.reason, verdict.hold.message);
  if (!out_of_reach(seen).empty() || !seen.workload.known) {
    pass.again_at(pass.seen.now + kLook);
    return;
  }
  const auto& workload = seen.workload.object;
  const bool empty = pass.seen.pods.empty();
  if (verdict.kind == Kind::kNone) {
    if (workload != nullptr) return remove_workload(pass, *workload);
    return pass.condition(kCondition, false, "NotQueued", fmt::format("it has no label {}", kQueueLabel));
  }
  if (verdict.kind == Kind::kAdmitted && wanted)
    pass.condition(kCondition, true, "Admitted",
                   fmt::format("by ClusterQueue {}",
                               printable(text(member(*workload, "status", "admission", "clusterQueue")))));
  if (workload == nullptr) {
    if (wanted && empty) create_workload(pass, sets);
  } else if (!wanted || is_outdated(pass, *workload, sets)) {
    if (empty) remove_workload(pass, *workload);
  } else if (holds(*workload, "Evicted")) {
    if (empty && member(*workload, "status", "admission").is_object()) give_back(pass, *workload);
  } else if (verdict.kind == Kind::kAdmitted) {
    tell_pods(pass, *workload);
  }
}

void finish_workload(Pass& pass) {
  const api::Condition* told = api::find_condition(pass.after.conditions, kCondition);
  if (told == nullptr || is_last_word(told->reason)) return;
  const SchedulingSeen& seen = pass.seen.scheduling;
  const bool reachable = out_of_reach(seen).empty();
  if (reachable && !seen.workload.known) return pass.again_at(pass.seen.now + std::chrono::seconds(1));
  const auto& workload = seen.workload.object;
  if (reachable && workload != nullptr && !leaves(*workload) && !holds(*workload, "Finished")) {
    if (std::any_of(pass.seen.pods.begin(), pass.seen.pods.end(), [](const Pod& pod) { return pod.runs; }))
      return;
    const bool succeeded = api::is_true(pass.after.conditions, "Succeeded");
    const api::Condition* end =
        api::find_condition(pass.after.conditions, succeeded ? "Succeeded" : "Failed");
    patch_workload(pass, *workload,
                   {changed(*workload, "Finished", true, succeeded ? "Succeeded" : "Failed", end->message,
                            pass.seen.now)},
                   Json::object());
    return;
  }
  pass.condition(kCondition, false, "Finished", "it has ended, and takes no more of the queue's quota");
}

}  // namespace muster::op
