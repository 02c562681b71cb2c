// operator/core/observed.cc: the facts of a v1 Pod that core judges by
#include "operator/core/observed.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "common/base/rfc3339.h"
#include "common/json/access.h"
#include "operator/api/pod_template.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

std::int64_t decimal(const std::string& text, std::int64_t otherwise) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : otherwise;
}

bool controlled_by(const Json& metadata, const std::string& owner_uid) {
  const Json& owners = member(metadata, "ownerReferences");
  if (!owners.is_array()) return false;
  for (const Json& owner : owners) {
    if (member(owner, "controller") == true && text(member(owner, "uid")) == owner_uid) return true;
  }
  return false;
}

PodPhase phase_of(const std::string& name) {
  if (name == "Running") return PodPhase::kRunning;
  if (name == "Succeeded") return PodPhase::kSucceeded;
  if (name == "Failed") return PodPhase::kFailed;
  return name == "Unknown" ? PodPhase::kUnknown : PodPhase::kPending;
}

// Reasons by which the kubelet or the control plane took the pod away, none of them the program's doing.
// Condition DisruptionTarget says the same; these are for what it does not cover: older kubelets, and pods
// refused by a node.
bool is_disruption(const std::string& reason, const std::string& message) {
  // Also the reason when a pod has outgrown its own limit of ephemeral storage or an emptyDir, which it will
  // again.
  if (reason == "Evicted") return message.starts_with("The node was low on resource");
  if (reason.starts_with("OutOf")) return true;  // OutOfcpu, OutOfnvidia.com/gpu: the node is full after all
  constexpr std::array<std::string_view, 8> kReasons{
      "Preempting", "NodeLost",     "NodeShutdown",          "Shutdown",
      "Terminated", "NodeAffinity", "TopologyAffinityError", "UnexpectedAdmissionError"};
  return std::find(kReasons.begin(), kReasons.end(), reason) != kReasons.end();
}

void read_conditions(const Json& status, Pod& pod) {
  const Json& conditions = member(status, "conditions");
  if (!conditions.is_array()) return;
  for (const Json& condition : conditions) {
    const std::string type = text(member(condition, "type"));
    const bool is_true = text(member(condition, "status")) == "True";
    if (type == "Ready") pod.ready = is_true;
    if (type == "DisruptionTarget" && is_true) {
      pod.disrupted = true;
      if (pod.reason.empty()) {
        pod.reason = text(member(condition, "reason"));
        pod.message = text(member(condition, "message"));
      }
    }
    if (type == "PodScheduled" && !is_true && pod.reason.empty()) {
      pod.reason = text(member(condition, "reason"));
      pod.message = text(member(condition, "message"));
    }
  }
}

std::string role_container(const Json& containers, const std::string& role) {
  if (!containers.is_array() || containers.empty()) return role;
  return text(member(containers[api::role_container(containers, role)], "name"));
}

// Why a container waits, if it is more than a matter of time.
void read_waiting(const Json& container, Pod& pod) {
  const Json& waiting = member(container, "state", "waiting");
  const std::string reason = text(member(waiting, "reason"));
  if (!pod.reason.empty() || reason.empty() || reason == "ContainerCreating" || reason == "PodInitializing")
    return;
  pod.reason = reason;
  pod.message = text(member(waiting, "message"));
}

std::optional<ContainerEnd> end_of_container(const Json& container) {
  const Json& terminated = member(container, "state", "terminated");
  if (!terminated.is_object()) return std::nullopt;
  return ContainerEnd{.container = text(member(container, "name")),
                      .exit_code = integer(member(terminated, "exitCode")),
                      .reason = text(member(terminated, "reason")),
                      .message = text(member(terminated, "message")),
                      .finished = parse_rfc3339(text(member(terminated, "finishedAt")))};
}

// The end that tells the pod's story: a failure before a success, the role's container before the others.
void read_containers(const Json& statuses, const std::string& role_container, Pod& pod) {
  if (!statuses.is_array()) return;
  int best = -1;
  for (const Json& container : statuses) {
    read_waiting(container, pod);
    std::optional<ContainerEnd> end = end_of_container(container);
    if (!end) continue;
    const bool carries_role = end->container == role_container;
    const int rank = (end->exit_code != 0 ? 2 : 0) + (carries_role ? 1 : 0);
    if (rank <= best) continue;
    best = rank;
    if (carries_role) end->container.clear();
    pod.end = std::move(end);
  }
}

// They come first, so the reason why one waits is the pod's; a failure of one is the pod's end unless the
// others have begun and tell their own.
void read_init_containers(const Json& statuses, Pod& pod) {
  if (!statuses.is_array()) return;
  for (const Json& container : statuses) {
    read_waiting(container, pod);
    std::optional<ContainerEnd> end = end_of_container(container);
    if (end && end->exit_code != 0 && !pod.end) pod.end = std::move(end);
  }
}

}  // namespace

std::chrono::milliseconds patience_with(Obstacle::Kind kind) {
  return kind == Obstacle::Kind::kPredecessor ? std::chrono::seconds(2) : std::chrono::seconds(30);
}

std::optional<Pod> pod_from_json(const Json& json, const std::string& owner_uid) {
  const Json& metadata = member(json, "metadata");
  if (!controlled_by(metadata, owner_uid)) return std::nullopt;
  const Json& labels = member(metadata, "labels");
  const Json& annotations = member(metadata, "annotations");
  const Json& status = member(json, "status");
  Pod pod;
  pod.name = text(member(metadata, "name"));
  pod.uid = text(member(metadata, "uid"));
  pod.role = text(member(labels, kRoleLabel));
  pod.index = decimal(text(member(labels, kIndexLabel)), -1);
  pod.incarnation = decimal(text(member(labels, kIncarnationLabel)), 0);
  pod.ca = text(member(labels, kAuthorityLabel));
  pod.attempt = decimal(text(member(annotations, kAttemptAnnotation)), 0);
  pod.world_size = decimal(text(member(annotations, kWorldSizeAnnotation)), 0);
  pod.phase = phase_of(text(member(status, "phase")));
  pod.ip = text(member(status, "podIP"));
  pod.node = text(member(json, "spec", "nodeName"));
  pod.created = parse_rfc3339(text(member(metadata, "creationTimestamp")));
  pod.deletion = parse_rfc3339(text(member(metadata, "deletionTimestamp")));
  pod.reason = text(member(status, "reason"));
  pod.message = text(member(status, "message"));
  pod.disrupted = is_disruption(pod.reason, pod.message);
  read_conditions(status, pod);
  read_init_containers(member(status, "initContainerStatuses"), pod);
  read_containers(member(status, "containerStatuses"),
                  role_container(member(json, "spec", "containers"), pod.role), pod);
  return pod;
}

}  // namespace muster::op
