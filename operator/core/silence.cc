// operator/core/silence.cc: pods that run, and do not answer the operator
#include "operator/core/silence.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/rfc3339.h"
#include "operator/core/failure_policy.h"
#include "operator/core/followers.h"
#include "operator/core/members.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

constexpr auto kPatience = std::chrono::minutes(1);
constexpr auto kProgramPatience = std::chrono::minutes(5);  // it may load much before it connects

// It runs, is dialled, and nothing has ever come from it. If that may still come, looks again when it is
// late: nobody tells that nothing has come.
bool never_answered(Pass& pass, const Pod& pod) {
  if (fate_of(pod) != PodFate::kAlive || pod.phase != PodPhase::kRunning || pod.deletion ||
      pass.seen.agents.contains(pod.uid) || pass.seen.rejections.contains(pod.uid))
    return false;
  const auto contact = pass.seen.contacts.find(pod.uid);
  const bool dialled = contact != pass.seen.contacts.end();
  if (!dialled &&
      std::ranges::find(pass.decision.agents, pod.uid, &AgentAddress::uid) == pass.decision.agents.end())
    return false;
  const WallTime since = dialled ? contact->second.since : pass.seen.now;  // it is dialled after this pass
  return pass.is_due(std::max(since, pod.running_since.value_or(WallTime{})) +
                     (pod.beside_program ? kProgramPatience : kPatience));
}

bool is_silent(Pass& pass, const Pod& pod) {
  return never_answered(pass, pod) || (fate_of(pod) == PodFate::kAlive && has_gone_silent(pass, pod));
}

// One that is a member had connected; after a takeover the new operator has not heard of it yet.
bool may_not_have_connected(const Pass& pass, const Pod& pod) {
  return pod.beside_program && !is_member(pass.before, pod);
}

std::string why_silent(const Pass& pass, const Pod& pod) {
  const std::string logs =
      fmt::format("kubectl logs {} --container {} --namespace {}", pod.name, pod.container, pass.meta.ns);
  if (pass.seen.agents.contains(pod.uid))
    return fmt::format(
        "{} has not answered the operator since {}, of when its figures are: is it frozen, or cut off from "
        "the "
        "operator by a NetworkPolicy? If it does not come back, kubectl delete pod {} --namespace {}",
        pod.name, rfc3339(pass.seen.contacts.at(pod.uid).since), pod.name, pass.meta.ns);
  if (may_not_have_connected(pass, pod))
    return fmt::format(
        "{}: the program in container {} has not connected to Muster's {} in 5 minutes: does it still load, "
        "does its command "
        "call {}, or is port {} closed to the operator? See {}",
        pod.name, pod.container, pod.role,
        pod.role == "client" ? "muster.serve()" : "muster.init() (muster_open() in C)", kControlPort, logs);
  return fmt::format(
      "{} runs, but does not answer the operator at {}:{}: does a NetworkPolicy, a service mesh or a "
      "firewall "
      "close the port to it? See {}",
      pod.name, pod.ip, kControlPort, logs);
}

}  // namespace

void tell_silence(Pass& pass, const std::vector<const Pod*>& pods) {
  const Pod* first = nullptr;
  std::int64_t silent = 0;
  for (const Pod* pod : pods) {
    if (!is_silent(pass, *pod)) continue;
    if (silent++ == 0) first = pod;
  }
  if (first != nullptr) {
    const bool answered = pass.seen.agents.contains(first->uid);
    const char* const reason = answered                               ? "AnswersNoMore"
                               : may_not_have_connected(pass, *first) ? "ProgramNotConnected"
                                                                      : "NoAnswer";
    const std::string message =
        why_silent(pass, *first) + (silent > 1 ? fmt::format(" ({} pods in all)", silent) : "");
    if (!api::is_true(pass.before.conditions, kPodsSilent)) pass.event("Warning", reason, message);
    pass.condition(kPodsSilent, true, reason, message);
  } else if (api::is_true(pass.after.conditions, kPodsSilent) && all_have_told(pass, false)) {
    pass.condition(kPodsSilent, false, "PodsAnswer", "the pods that the operator listens to answer");
  }
}

}  // namespace muster::op
