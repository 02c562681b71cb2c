// local/runtime/pod_status.cc: phase, conditions and status of a pod, from the states of its containers
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "common/base/rfc3339.h"
#include "local/runtime/json_access.h"
#include "local/runtime/pod_machine.h"
#include "local/runtime/quantity.h"

namespace muster::local {
namespace {

bool is_main(const ContainerState& container) { return container.role == ContainerRole::kMain; }

WallTime scheduled_at(const Json& pod, WallTime otherwise) {
  for (const Json& condition : member(pod, "status", "conditions")) {
    if (text(member(condition, "type")) != "PodScheduled" || text(member(condition, "status")) != "True")
      continue;
    return parse_rfc3339(text(member(condition, "lastTransitionTime"))).value_or(otherwise);
  }
  return otherwise;
}

}  // namespace

std::string PodMachine::compute_phase() const {
  if (terminal()) return phase_;  // final
  if (!reason_.empty() && nothing_runs()) return "Failed";
  const bool failed =
      std::ranges::any_of(containers_, [](const auto& c) { return is_main(c) && !c.ended_well; });
  if (stop_at_ && nothing_runs()) return failed ? "Failed" : "Succeeded";
  if (init_failed_) return nothing_runs() ? "Failed" : "Pending";
  const bool waiting = std::ranges::any_of(containers_, [](const auto& container) {
    return is_main(container) && container.life != Life::kRunning && container.ended.is_null();
  });
  if (waiting) return "Pending";
  const bool over = nothing_runs() && std::ranges::all_of(containers_, [this](const auto& container) {
                      return !is_main(container) || done(container);
                    });
  if (!over) return "Running";
  return failed ? "Failed" : "Succeeded";
}

void PodMachine::refresh(Moment now) {
  if (!began_) return;
  phase_ = compute_phase();
  std::vector<std::string> uninitialized;
  std::vector<std::string> unready;
  for (const ContainerState& container : containers_) {
    if (container.role == ContainerRole::kInit && !(container.ended_well && !container.runs())) {
      uninitialized.push_back(container.name);
    }
    if (container.role == ContainerRole::kSidecar && !container.started && !terminal()) {
      uninitialized.push_back(container.name);
    }
    if (container.role != ContainerRole::kInit && !container.ready) unready.push_back(container.name);
  }
  const bool sandbox = prepared_ && !(terminal() && nothing_runs());
  conditions_.set("PodReadyToStartContainers", sandbox, now.wall);
  conditions_.set("PodScheduled", true, scheduled_at(pod_, now.wall));
  const std::string completed = phase_ == "Succeeded" ? "PodCompleted" : "";
  if (uninitialized.empty() || phase_ == "Succeeded") {
    conditions_.set("Initialized", true, now.wall, completed);
  } else {
    conditions_.set("Initialized", false, now.wall, "ContainersNotInitialized",
                    fmt::format("containers with incomplete status: [{}]", fmt::join(uninitialized, " ")));
  }
  const std::string why =
      terminal() ? (phase_ == "Succeeded" ? "PodCompleted" : "PodFailed") : "ContainersNotReady";
  const std::string which =
      terminal() ? "" : fmt::format("containers with unready status: [{}]", fmt::join(unready, " "));
  for (const char* type : {"Ready", "ContainersReady"}) {
    const bool ready = unready.empty() && !terminal() && prepared_;
    conditions_.set(type, ready, now.wall, ready ? "" : why, ready ? "" : which);
  }
}

Json PodMachine::status() const {
  Json out{{"phase", phase_},
           {"conditions", conditions_.json()},
           {"hostIP", host_ip_},
           {"hostIPs", Json::array({{{"ip", host_ip_}}})},
           {"podIP", pod_ip_},
           {"podIPs", Json::array({{{"ip", pod_ip_}}})},
           {"qosClass", qos_class(pod_)},
           {"containerStatuses", Json::array()}};
  if (began_) out["startTime"] = rfc3339(began_->wall);
  // As the kubelet: a pod is not called ended, nor why, before its processes have ended.
  if (!reason_.empty() && terminal()) out["reason"] = reason_;
  if (!message_.empty() && terminal()) out["message"] = message_;
  for (const ContainerState& container : containers_) {
    out[container.init() ? "initContainerStatuses" : "containerStatuses"].push_back(
        container_status(container));
  }
  return out;
}

}  // namespace muster::local
