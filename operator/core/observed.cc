// operator/core/observed.cc: the facts of a v1 Pod that core judges by
#include "operator/core/observed.h"

#include <array>
#include <charconv>
#include <string_view>

#include "operator/core/labels.h"

namespace muster::op {
namespace {

const Json& child(const Json& object, const char* name) {
  static const Json kNothing = Json::object();
  const auto found = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && found != object.end() ? *found : kNothing;
}

std::string text(const Json& object, const char* name) {
  const Json& value = child(object, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::int64_t decimal(const std::string& text, std::int64_t otherwise) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : otherwise;
}

bool controlled_by(const Json& metadata, const std::string& owner_uid) {
  const Json& owners = child(metadata, "ownerReferences");
  if (!owners.is_array()) return false;
  for (const Json& owner : owners) {
    if (child(owner, "controller") == true && text(owner, "uid") == owner_uid) return true;
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
bool is_disruption(const std::string& reason) {
  constexpr std::array<std::string_view, 11> kReasons{"Evicted",
                                                      "Preempting",
                                                      "NodeLost",
                                                      "NodeShutdown",
                                                      "Shutdown",
                                                      "Terminated",
                                                      "OutOfcpu",
                                                      "OutOfmemory",
                                                      "OutOfpods",
                                                      "NodeAffinity",
                                                      "UnexpectedAdmissionError"};
  for (const std::string_view known : kReasons)
    if (reason == known) return true;
  return false;
}

void read_conditions(const Json& status, Pod& pod) {
  const Json& conditions = child(status, "conditions");
  if (!conditions.is_array()) return;
  for (const Json& condition : conditions) {
    const std::string type = text(condition, "type");
    const bool is_true = text(condition, "status") == "True";
    if (type == "Ready") pod.ready = is_true;
    if (type == "DisruptionTarget" && is_true) {
      pod.disrupted = true;
      if (pod.reason.empty()) {
        pod.reason = text(condition, "reason");
        pod.message = text(condition, "message");
      }
    }
    if (type == "PodScheduled" && !is_true && pod.reason.empty()) {
      pod.reason = text(condition, "reason");
      pod.message = text(condition, "message");
    }
  }
}

// The end that tells the pod's story: a failure before a success, the role's container before the others.
void read_containers(const Json& status, Pod& pod) {
  const Json& list = child(status, "containerStatuses");
  if (!list.is_array()) return;
  int best = -1;
  for (const Json& container : list) {
    const Json& state = child(container, "state");
    const Json& waiting = child(state, "waiting");
    if (const std::string reason = text(waiting, "reason"); pod.reason.empty() && !reason.empty() &&
                                                            reason != "ContainerCreating" &&
                                                            reason != "PodInitializing") {
      pod.reason = reason;
      pod.message = text(waiting, "message");
    }
    if (!state.is_object() || !state.contains("terminated")) continue;
    const Json& terminated = child(state, "terminated");
    const Json& code = child(terminated, "exitCode");
    const std::int64_t exit_code = code.is_number_integer() ? code.get<std::int64_t>() : 0;
    const int rank = (exit_code != 0 ? 2 : 0) + (text(container, "name") == pod.role ? 1 : 0);
    if (rank <= best) continue;
    best = rank;
    pod.end = ContainerEnd{.exit_code = exit_code,
                           .reason = text(terminated, "reason"),
                           .message = text(terminated, "message"),
                           .finished = api::parse_time(text(terminated, "finishedAt"))};
  }
}

}  // namespace

std::optional<Pod> pod_from_json(const Json& json, const std::string& owner_uid) {
  const Json& metadata = child(json, "metadata");
  if (!controlled_by(metadata, owner_uid)) return std::nullopt;
  const Json& labels = child(metadata, "labels");
  const Json& annotations = child(metadata, "annotations");
  const Json& status = child(json, "status");
  Pod pod;
  pod.name = text(metadata, "name");
  pod.uid = text(metadata, "uid");
  pod.role = text(labels, kRoleLabel);
  pod.index = decimal(text(labels, kIndexLabel), -1);
  pod.generation = decimal(text(labels, kGenerationLabel), 0);
  pod.attempt = decimal(text(annotations, kAttemptAnnotation), 0);
  pod.world_size = decimal(text(annotations, kWorldSizeAnnotation), 0);
  pod.phase = phase_of(text(status, "phase"));
  pod.ip = text(status, "podIP");
  pod.node = text(child(json, "spec"), "nodeName");
  pod.created = api::parse_time(text(metadata, "creationTimestamp"));
  pod.deletion = api::parse_time(text(metadata, "deletionTimestamp"));
  pod.reason = text(status, "reason");
  pod.message = text(status, "message");
  pod.disrupted = is_disruption(pod.reason);
  read_conditions(status, pod);
  read_containers(status, pod);
  return pod;
}

}  // namespace muster::op
