// operator/core/observed.cc: the facts of a v1 Pod that core judges by
#include "operator/core/observed.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "common/base/rfc3339.h"
#include "common/base/text.h"
#include "common/json/access.h"
#include "common/pods/device_failure.h"
#include "operator/core/credentials.h"
#include "operator/core/incarnation_image.h"
#include "operator/core/unscheduled.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

// The same with its line breaks: last words are the tail of a log.
std::string printable_lines(std::string_view text) {
  std::string out;
  while (true) {
    const std::size_t end = text.find_first_of("\r\n");
    out += printable(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    out += text[end];
    text.remove_prefix(end + 1);
  }
}

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

// Reasons by which the kubelet or the control plane took the pod away, none of them the program's doing.
// Condition DisruptionTarget says the same; these are for what it does not cover: older kubelets, and pods
// refused by a node.
bool is_disruption(const std::string& reason, const std::string& message) {
  // Also the reason when a pod has outgrown its own limit of ephemeral storage or an emptyDir, which it will
  // again: "Usage of EmptyDir volume "x" exceeds the limit", "Pod ephemeral local storage usage exceeds the
  // total limit of containers", "Container x exceeded its local ephemeral storage limit".
  if (reason == "Evicted")
    return message.find(" exceeds the ") == std::string::npos &&
           message.find(" exceeded its local ephemeral storage limit") == std::string::npos;
  if (reason.starts_with("OutOf")) return true;  // OutOfcpu, OutOfnvidia.com/gpu: the node is full after all
  constexpr std::array<std::string_view, 11> kReasons{"Preempting",
                                                      "NodeLost",
                                                      "NodeShutdown",
                                                      "Shutdown",
                                                      "Terminated",
                                                      "NodeAffinity",
                                                      "TopologyAffinityError",
                                                      "UnexpectedAdmissionError",
                                                      "VolumeAttachmentLimitExceeded",
                                                      "NodePorts",
                                                      "InvalidNodeInfo"};
  return std::find(kReasons.begin(), kReasons.end(), reason) != kReasons.end();
}

void read_conditions(const Json& status, Pod& pod) {
  const Json& conditions = member(status, "conditions");
  if (!conditions.is_array()) return;
  for (const Json& condition : conditions) {
    const std::string type = text(member(condition, "type"));
    const bool is_true = text(member(condition, "status")) == "True";
    if (type == "Ready") {
      pod.ready = is_true;
      if (!is_true) pod.unready = printable(text(member(condition, "message")));
    }
    if (type == "DisruptionTarget" && is_true) {
      pod.disrupted = true;
      if (pod.reason.empty()) {
        pod.reason = printable(text(member(condition, "reason")));
        pod.message = printable_lines(text(member(condition, "message")));
      }
    }
    if (type == "PodScheduled" && is_true)
      pod.scheduled = parse_rfc3339(text(member(condition, "lastTransitionTime")));
    if (type == "PodScheduled" && !is_true && pod.reason.empty()) {
      pod.reason = printable(text(member(condition, "reason")));
      pod.message = printable_lines(text(member(condition, "message")));
    }
  }
}

void keep_conditions(const Json& status, Pod& pod) {
  const Json& conditions = member(status, "conditions");
  if (!conditions.is_array()) return;
  for (const Json& condition : conditions)
    pod.conditions.push_back({text(member(condition, "type")), text(member(condition, "status"))});
}

// After its node's restart a runtime knows no more of a container than that it is gone: containerd says so by
// Unknown with 255, the kubelet by ContainerStatusUnknown with 137.
bool was_lost(const ContainerEnd& end) {
  return end.reason == "ContainerStatusUnknown" || (end.reason == "Unknown" && end.exit_code == 255);
}

// A device that the container was given has failed (allocatedResourcesStatus): "nvidia.com/gpu GPU-7:
// Unhealthy".
std::string unhealthy_device(const Json& status) {
  const Json& containers = member(status, "containerStatuses");
  if (!containers.is_array()) return "";
  for (const Json& container : containers) {
    const Json& kinds = member(container, "allocatedResourcesStatus");
    if (!kinds.is_array()) continue;
    for (const Json& kind : kinds) {
      const Json& devices = member(kind, "resources");
      if (!devices.is_array()) continue;
      for (const Json& device : devices)
        if (text(member(device, "health")) == "Unhealthy")
          return fmt::format("{} {} is unhealthy", text(member(kind, "name")),
                             text(member(device, "resourceID")));
    }
  }
  return "";
}

// Muster's worker beside a program of the user's own; null: there is none.
const Json* sidecar_of(const Json& json) {
  const Json& containers = member(json, "spec", "initContainers");
  if (!containers.is_array() || text(member(json, "metadata", "labels", kAuthorityLabel)).empty())
    return nullptr;
  const auto found = std::ranges::find_if(containers, is_program_sidecar);
  return found == containers.end() ? nullptr : &*found;
}

const Json* named(const Json& list, std::string_view name) {
  if (!list.is_array()) return nullptr;
  const auto found =
      std::ranges::find_if(list, [name](const Json& item) { return text(member(item, "name")) == name; });
  return found == list.end() ? nullptr : &*found;
}

// `status`: of the container; null: nothing is said of it, and the pod's phase must do.
ImageState image_state(const Json* status, const Pod& pod) {
  const Json state = status == nullptr ? Json() : member(*status, "state");
  if (member(state, "running").is_object() || member(state, "terminated").is_object())
    return ImageState::kRan;
  if (const Json& waiting = member(state, "waiting"); waiting.is_object()) {
    constexpr std::array<std::string_view, 5> kReasons{"ErrImagePull", "ImagePullBackOff", "InvalidImageName",
                                                       "ErrImageNeverPull", "ImageInspectError"};
    const bool missing = std::ranges::find(kReasons, text(member(waiting, "reason"))) != kReasons.end();
    return missing ? ImageState::kMissing : ImageState::kUnknown;
  }
  return pod.phase == PodPhase::kRunning || pod.end ? ImageState::kRan : ImageState::kUnknown;
}

// Which image Muster's container has, and what became of it.
void read_image(const Json& json, const Json* sidecar, Pod& pod) {
  const Json* ours = sidecar != nullptr ? sidecar : named(member(json, "spec", "containers"), pod.container);
  if (ours == nullptr) return;
  pod.image = text(member(*ours, "image"));
  const char* statuses = sidecar == nullptr ? "containerStatuses" : "initContainerStatuses";
  pod.image_state = image_state(named(member(json, "status", statuses), text(member(*ours, "name"))), pod);
}

// Muster's words are told without the mark before them. Beside a program only what has it is Muster's word.
void judge_code(Pod& pod, bool beside_program) {
  if (!pod.end || !pod.end->container.empty() || pod.end->exit_code == 0) return;
  constexpr std::string_view kWord = kEndingWord;
  const bool marked = pod.end->message.starts_with(kWord);
  if (beside_program) pod.code_is_ours = marked;
  if (marked) pod.end->message.erase(0, kWord.size());
}

// What its containers say; why one waits counts where the pod itself does not say why.
void read_containers(const Json& json, Pod& pod) {
  PodState state = pod_state(json, pod.role);
  pod.phase = state.phase;
  pod.runs = state.runs;
  pod.end = std::move(state.end);
  if (pod.end) {
    for (std::string* words : {&pod.end->container, &pod.end->reason, &pod.end->message})
      *words = printable_lines(*words);
  }
  const Json* sidecar = sidecar_of(json);
  pod.beside_program = sidecar != nullptr;
  read_image(json, sidecar, pod);
  if (const Json* role = named(member(json, "status", "containerStatuses"), pod.container); role != nullptr)
    pod.running_since = parse_rfc3339(text(member(*role, "state", "running", "startedAt")));
  judge_code(pod, sidecar != nullptr);
  if (pod.end) pod.ended = parse_rfc3339(pod.end->finished_at);
  if (pod.end && was_lost(*pod.end)) {
    pod.disrupted = true;
    pod.reason = pod.end->reason;
    pod.message = "the container was gone when its node came back";
  }
  const bool ended = pod.phase == PodPhase::kSucceeded || pod.phase == PodPhase::kFailed;
  const bool by_role = pod.end && pod.end->container.empty() && pod.code_is_ours;
  if (by_role && pod.end->exit_code == kExitRetry && tells_of_failed_device(pod.end->message)) {
    pod.disrupted = true;  // the worker saw it before the kubelet
    pod.reason = "DeviceUnhealthy";
    pod.message = pod.end->message;
  }
  if (std::string device = unhealthy_device(member(json, "status")); !device.empty() && !pod.disrupted) {
    pod.disrupted = true;
    pod.reason = "DeviceUnhealthy";
    pod.message = printable(device);
  }
  if (pod.phase == PodPhase::kFailed || pod.deletion) keep_conditions(member(json, "status"), pod);
  if (ended || !pod.reason.empty()) return;
  pod.reason = printable(state.waiting_reason);
  pod.message = printable_lines(state.waiting_message);
}

}  // namespace

bool is_program_sidecar(const Json& container) {
  const Json& mounts = member(container, "volumeMounts");
  return text(member(container, "name")) == kProgramSidecar &&
         text(member(container, "restartPolicy")) == "Always" && named(mounts, kCredentialsVolume) != nullptr;
}

std::chrono::milliseconds patience_with(const Obstacle& obstacle) {
  using std::chrono::seconds;
  if (obstacle.kind == Obstacle::Kind::kPredecessor) return seconds(1);
  // A quota, a right or a name may be free in a moment, or next week.
  return seconds(std::min(1 << std::clamp(obstacle.refusals - 1, 0, 8), 240));
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
  if (member(json, "spec", "containers").is_array()) pod.container = role_container_name(json, pod.role);
  pod.index = decimal(text(member(labels, kIndexLabel)), -1);
  pod.incarnation = decimal(text(member(labels, kIncarnationLabel)), 0);
  pod.ca = text(member(labels, kAuthorityLabel), text(member(annotations, kExecAuthorityAnnotation)));
  pod.token_ca = text(member(annotations, kProgressAnnotation));
  pod.attempt = decimal(text(member(annotations, kAttemptAnnotation)), 0);
  pod.world_size = decimal(text(member(annotations, kWorldSizeAnnotation)), 0);
  pod.peer_image = text(member(annotations, kPeerImageAnnotation));
  pod.gang = text(member(annotations, kGangAnnotation));
  pod.avoids = text(member(annotations, kAvoidsAnnotation));
  pod.ip = text(member(status, "podIP"));
  pod.node = text(member(json, "spec", "nodeName"));
  pod.created = parse_rfc3339(text(member(metadata, "creationTimestamp")));
  pod.deletion = parse_rfc3339(text(member(metadata, "deletionTimestamp")));
  pod.reason = printable(text(member(status, "reason")));
  pod.message = printable_lines(text(member(status, "message")));
  pod.disrupted = is_disruption(pod.reason, pod.message);
  read_conditions(status, pod);
  read_containers(json, pod);
  if (pod.phase != PodPhase::kPending || !pod.reason.empty()) return pod;
  if (std::string words = words_on_silence(json); !words.empty()) {
    pod.reason = kWaitingForScheduler;
    pod.message = std::move(words);
  }
  return pod;
}

}  // namespace muster::op
