// operator/core/failure_policy.cc: what the end of a pod means for its job
#include "operator/core/failure_policy.h"

#include <fmt/format.h>

#include "common/base/text.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

constexpr std::size_t kWordsMax = 512;  // of last words in a condition's message
constexpr auto kOverdueAfter = std::chrono::minutes(1);

std::string exit_of(const ContainerEnd& end) {
  std::string note;
  if (end.reason == "OOMKilled")
    note = " (out of memory)";
  else if (end.exit_code == 137)
    note = " (SIGKILL)";
  else if (end.exit_code == 139)
    note = " (SIGSEGV)";
  else if (end.exit_code == 134)
    note = " (SIGABRT)";
  else if (end.exit_code == 143)
    note = " (SIGTERM)";
  else if (!end.reason.empty() && end.reason != "Error")
    note = " (" + end.reason + ")";
  const std::string who = end.container.empty() ? "" : fmt::format("container {} ", end.container);
  return fmt::format("{}exited with code {}{}", who, end.exit_code, note);
}

bool role_exited_with(const Pod& pod, std::int64_t code) {
  return pod.phase == PodPhase::kFailed && pod.end && pod.end->container.empty() &&
         pod.end->exit_code == code;
}

}  // namespace

PodFate fate_of(const Pod& pod) {
  if (pod.phase == PodPhase::kSucceeded) return PodFate::kSucceeded;
  if (pod.disrupted || pod.deletion) return PodFate::kDisrupted;
  return pod.phase == PodPhase::kFailed ? PodFate::kFailed : PodFate::kAlive;
}

bool cannot_work(const Pod& pod) {
  return role_exited_with(pod, kExitInvalid) || role_exited_with(pod, kExitStorage);
}

bool lost_a_peer(const Pod& pod) { return role_exited_with(pod, kExitRetry); }

std::string end_of(const Pod& pod) {
  const std::string who = fmt::format("{} {} ({})", pod.role, pod.index, pod.name);
  if (fate_of(pod) == PodFate::kDisrupted && !cannot_work(pod)) {
    const std::string why = pod.reason.empty() ? "it is being deleted" : pod.reason;
    return fmt::format("{} was disrupted: {}{}", who, why, pod.message.empty() ? "" : ": " + pod.message);
  }
  if (!pod.end) return fmt::format("{} failed{}", who, pod.reason.empty() ? "" : ": " + pod.reason);
  std::string words = clip(pod.end->message, kWordsMax);
  while (!words.empty() && (words.back() == '\n' || words.back() == ' ')) words.pop_back();
  return fmt::format("{} {}{}", who, exit_of(*pod.end), words.empty() ? "" : ": " + words);
}

bool overdue(const Pod& pod, WallTime now) { return pod.deletion && now >= *pod.deletion + kOverdueAfter; }

bool force_delete_due(const Pod& pod, const Observed& seen) {
  return overdue(pod, seen.now) && seen.lost_nodes.contains(pod.node);
}

}  // namespace muster::op
