// operator/core/failure_policy.cc: what the end of a pod means for its job
#include "operator/core/failure_policy.h"

#include <fmt/format.h>

#include <map>

#include "common/base/host_port.h"
#include "common/pods/standstill.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

constexpr auto kOverdueAfter = std::chrono::minutes(1);

bool role_exited_with(const Pod& pod, std::int64_t code) {
  return pod.phase == PodPhase::kFailed && pod.code_is_ours && pod.end && pod.end->container.empty() &&
         pod.end->exit_code == code;
}

}  // namespace

PodFate fate_of(const Pod& pod) {
  if (pod.phase == PodPhase::kSucceeded) return PodFate::kSucceeded;
  if (pod.disrupted || pod.deletion) return PodFate::kDisrupted;
  return pod.phase == PodPhase::kFailed ? PodFate::kFailed : PodFate::kAlive;
}

// What a broken node keeps from working may work on another.
bool cannot_work(const Pod& pod) {
  if (pod.on_bad_node) return false;
  return role_exited_with(pod, kExitInvalid) || role_exited_with(pod, kExitStorage);
}

bool lost_a_peer(const Pod& pod) { return role_exited_with(pod, kExitRetry); }

std::vector<StillPod> standing_still(const std::vector<const Pod*>& pods) {
  std::map<std::pair<std::int64_t, std::string>, bool> named;  // by incarnation and address
  for (const Pod* pod : pods) {
    if (!lost_a_peer(*pod)) continue;
    if (const auto said = standstill_in(pod->end->message))
      named[{pod->incarnation, said->address}] = said->hung;
  }
  std::vector<StillPod> still;
  for (const Pod* pod : pods) {
    const auto found = named.find({pod->incarnation, host_port(pod->ip, kDataPort)});
    if (found != named.end() && fate_of(*pod) == PodFate::kAlive)
      still.push_back({.pod = pod, .hung = found->second});
  }
  return still;
}

std::string end_of(const Pod& pod) {
  const std::string who = fmt::format("{} {} ({})", pod.role, pod.index, pod.name);
  if (fate_of(pod) == PodFate::kDisrupted && !cannot_work(pod)) {
    const std::string why = pod.reason.empty() ? "it is being deleted" : pod.reason;
    return fmt::format("{} was disrupted: {}{}", who, why, pod.message.empty() ? "" : ": " + pod.message);
  }
  const std::string why = pod.reason + (pod.message.empty() ? "" : ": " + pod.message);
  if (!pod.end) return fmt::format("{} failed{}", who, why.empty() ? "" : ": " + why);
  const std::string container =
      pod.end->container.empty() ? "" : fmt::format("container {} ", pod.end->container);
  return with_last_words(fmt::format("{} {}exited with {}", who, container, exit_words(*pod.end)),
                         pod.end->message.empty() ? why : pod.end->message);
}

bool overdue(const Pod& pod, WallTime now) { return pod.deletion && now >= *pod.deletion + kOverdueAfter; }

bool force_delete_due(const Pod& pod, const Observed& seen) {
  return overdue(pod, seen.now) && seen.lost_nodes.contains(pod.node);
}

}  // namespace muster::op
