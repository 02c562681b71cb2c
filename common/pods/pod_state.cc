// common/pods/pod_state.cc: containers of a pod: which one decides, which ones only accompany it
#include "common/pods/pod_state.h"

#include <algorithm>

#include "common/json/access.h"

namespace muster {
namespace {

PodPhase phase_named(const std::string& name) {
  if (name == "Running") return PodPhase::kRunning;
  if (name == "Succeeded") return PodPhase::kSucceeded;
  if (name == "Failed") return PodPhase::kFailed;
  return name == "Unknown" ? PodPhase::kUnknown : PodPhase::kPending;
}

const Json& named(const Json& list, std::string_view name) {
  static const Json kNothing;
  if (!list.is_array()) return kNothing;
  for (const Json& item : list)
    if (text(member(item, "name")) == name) return item;
  return kNothing;
}

std::optional<ContainerEnd> end_of_container(const Json& status) {
  const Json& terminated = member(status, "state", "terminated");
  if (!terminated.is_object()) return std::nullopt;
  return ContainerEnd{.container = text(member(status, "name")),
                      .exit_code = integer(member(terminated, "exitCode")),
                      .reason = text(member(terminated, "reason")),
                      .message = text(member(terminated, "message")),
                      .finished_at = text(member(terminated, "finishedAt"))};
}

std::optional<ContainerEnd> first_failure(const Json& statuses) {
  if (!statuses.is_array()) return std::nullopt;
  for (const Json& status : statuses)
    if (auto end = end_of_container(status); end && end->exit_code != 0) return end;
  return std::nullopt;
}

// Init containers with a restartPolicy of their own are started again: those with Always accompany the pod as
// sidecars, and are killed at its end.
std::optional<ContainerEnd> final_init_failure(const Json& pod) {
  const Json& statuses = member(pod, "status", "initContainerStatuses");
  if (!statuses.is_array()) return std::nullopt;
  for (const Json& status : statuses) {
    auto end = end_of_container(status);
    if (!end || end->exit_code == 0) continue;
    const Json& spec = named(member(pod, "spec", "initContainers"), end->container);
    if (text(member(spec, "restartPolicy"), "Never") == "Never") return end;
  }
  return std::nullopt;
}

// A kubelet tells the end of a pod's containers before that of the pod, and ends native sidecars meanwhile.
bool all_ended(const Json& pod) {
  const Json& containers = member(pod, "spec", "containers");
  const Json& statuses = member(pod, "status", "containerStatuses");
  return containers.is_array() && !containers.empty() &&
         std::ranges::all_of(containers, [&statuses](const Json& each) {
           const bool is_restarted = text(member(each, "restartPolicy"), "Never") != "Never";
           return !is_restarted && end_of_container(named(statuses, text(member(each, "name"))));
         });
}

void read_waiting(const Json& statuses, PodState& state) {
  if (!statuses.is_array()) return;
  for (const Json& status : statuses) {
    const Json& waiting = member(status, "state", "waiting");
    const std::string reason = text(member(waiting, "reason"));
    const std::string message = text(member(waiting, "message"));
    // Starting takes its time, unless a message says what is in the way.
    const bool is_starting = reason == "ContainerCreating" || reason == "PodInitializing";
    if (!state.waiting_reason.empty() || reason.empty() || (is_starting && message.empty())) continue;
    state.waiting_reason = reason;
    state.waiting_message = message;
  }
}

}  // namespace

std::size_t role_container(const Json& containers, std::string_view role) {
  for (std::size_t i = 0; i < containers.size(); ++i)
    if (text(member(containers[i], "name")) == role) return i;
  return 0;
}

std::string role_container_name(const Json& pod, std::string_view role) {
  const Json& containers = member(pod, "spec", "containers");
  if (!containers.is_array() || containers.empty()) return std::string(role);
  const std::string told = text(member(pod, "metadata", "annotations", kContainerAnnotation));
  if (!told.empty() && named(containers, told).is_object()) return told;
  return text(member(containers[role_container(containers, role)], "name"), role);
}

Json spec_for_pod_state(const Json& spec) {
  Json kept = Json::object();
  for (const char* list : {"initContainers", "containers"}) {
    const Json& containers = member(spec, list);
    if (!containers.is_array()) continue;
    Json& names = kept[list] = Json::array();
    for (const Json& container : containers) {
      Json& one = names.emplace_back(Json::object());
      for (const char* field : {"name", "image", "restartPolicy"})
        if (const Json& value = member(container, field); value.is_string()) one[field] = value;
    }
  }
  return kept;
}

PodState pod_state(const Json& pod, std::string_view role) {
  const Json& statuses = member(pod, "status", "containerStatuses");
  const Json& main = named(statuses, role_container_name(pod, role));
  PodState state;
  state.phase = phase_named(text(member(pod, "status", "phase")));
  state.runs = state.phase != PodPhase::kSucceeded && state.phase != PodPhase::kFailed && !all_ended(pod);
  read_waiting(member(pod, "status", "initContainerStatuses"), state);
  read_waiting(statuses, state);
  if (auto end = end_of_container(main)) {
    state.phase = end->exit_code == 0 ? PodPhase::kSucceeded : PodPhase::kFailed;
    end->container.clear();
    state.end = std::move(end);
  } else if (auto failure = final_init_failure(pod)) {
    state.phase = PodPhase::kFailed;
    state.end = std::move(failure);
  } else if (state.phase == PodPhase::kFailed) {
    state.end = first_failure(statuses);
  } else if (state.phase == PodPhase::kRunning && member(main, "state", "waiting").is_object()) {
    state.phase = PodPhase::kPending;
  } else if (state.phase == PodPhase::kPending && member(main, "state", "running").is_object()) {
    state.phase = PodPhase::kRunning;
  }
  return state;
}

}  // namespace muster
