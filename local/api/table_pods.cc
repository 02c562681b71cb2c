// local/api/table_pods.cc: the cells of pods: one word for all that a pod's status says
#include <fmt/format.h>

#include <algorithm>

#include "local/api/metadata.h"
#include "local/api/table_cells.h"

namespace muster::local {
namespace {

struct Summary {
  std::string reason;
  std::int64_t ready = 0, total = 0, restarts = 0;
  std::string last_restart;  // RFC 3339, so that later is greater
};

bool is_sidecar(const Json& pod, const std::string& name) {
  for (const Json& container : array_of(object_of(pod, "spec"), "initContainers"))
    if (text_at(container, "name") == name) return text_at(container, "restartPolicy") == "Always";
  return false;
}

std::string ended_reason(const Json& terminated) {
  if (std::string reason = text_at(terminated, "reason"); !reason.empty()) return reason;
  if (const std::int64_t signal = integer_at(terminated, "signal"); signal != 0)
    return fmt::format("Signal:{}", signal);
  return fmt::format("ExitCode:{}", integer_at(terminated, "exitCode"));
}

void count_restarts(const Json& status, Summary& summary) {
  summary.restarts += integer_at(status, "restartCount");
  const std::string finished = text_at(object_of(object_of(status, "lastState"), "terminated"), "finishedAt");
  summary.last_restart = std::max(summary.last_restart, finished);
}

// "Init:0/1", "Init:Error"; empty once every init container has ended or, as a sidecar, started.
// `sidecars` counts what stays of the init containers once the pod is initialized.
std::string init_reason(const Json& pod, Summary& all, Summary& sidecars) {
  const Json& statuses = array_of(object_of(pod, "status"), "initContainerStatuses");
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    const Json& status = statuses[i];
    const bool sidecar = is_sidecar(pod, text_at(status, "name"));
    count_restarts(status, all);
    if (sidecar) count_restarts(status, sidecars);
    const Json& state = object_of(status, "state");
    const Json& terminated = object_of(state, "terminated");
    const bool ended = state.contains("terminated");
    if (ended && integer_at(terminated, "exitCode") == 0) continue;
    if (sidecar && flag_of(status, "started")) {
      if (flag_of(status, "ready")) ++all.ready;
      continue;
    }
    if (ended) return "Init:" + ended_reason(terminated);
    const std::string waiting = text_at(object_of(state, "waiting"), "reason");
    if (!waiting.empty() && waiting != "PodInitializing") return "Init:" + waiting;
    return fmt::format("Init:{}/{}", i, array_of(object_of(pod, "spec"), "initContainers").size());
  }
  return {};
}

void add_containers(const Json& status, Summary& summary) {
  const Json& containers = array_of(status, "containerStatuses");
  bool running = false;
  for (std::size_t i = containers.size(); i-- > 0;) {  // the first container has the last word
    const Json& container = containers[i];
    count_restarts(container, summary);
    const Json& state = object_of(container, "state");
    const std::string waiting = text_at(object_of(state, "waiting"), "reason");
    if (!waiting.empty()) {
      summary.reason = waiting;
    } else if (state.contains("terminated")) {
      summary.reason = ended_reason(object_of(state, "terminated"));
    } else if (flag_of(container, "ready") && state.contains("running")) {
      running = true;
      ++summary.ready;
    }
  }
  if (summary.reason == "Completed" && running)
    summary.reason = has_condition(status, "Ready") ? "Running" : "NotReady";
}

Summary summarize(const Json& pod) {
  const Json& status = object_of(pod, "status");
  const std::string phase = text_at(status, "phase");
  Summary all, sidecars;
  all.total = static_cast<std::int64_t>(array_of(object_of(pod, "spec"), "containers").size());
  for (const Json& container : array_of(object_of(pod, "spec"), "initContainers"))
    if (text_at(container, "restartPolicy") == "Always") ++all.total;
  all.reason = text_or(status, "reason", phase.c_str());
  for (const Json& condition : array_of(status, "conditions"))
    if (text_at(condition, "type") == "PodScheduled" && text_at(condition, "reason") == "SchedulingGated")
      all.reason = "SchedulingGated";
  const std::string initializing = init_reason(pod, all, sidecars);
  if (!initializing.empty()) all.reason = initializing;
  if (initializing.empty() || has_condition(status, "Initialized")) {
    all.restarts = sidecars.restarts;
    all.last_restart = sidecars.last_restart;
    add_containers(status, all);
  }
  if (is_terminating(pod)) {
    if (text_at(status, "reason") == "NodeLost")
      all.reason = "Unknown";
    else if (phase != "Succeeded" && phase != "Failed")
      all.reason = "Terminating";
  }
  return all;
}

std::string gates_text(const Json& pod) {
  const Json& gates = array_of(object_of(pod, "spec"), "readinessGates");
  if (gates.empty()) return "<none>";
  const auto open = std::count_if(gates.begin(), gates.end(), [&](const Json& gate) {
    return has_condition(object_of(pod, "status"), text_at(gate, "conditionType"));
  });
  return fmt::format("{}/{}", open, gates.size());
}

}  // namespace

Cells pod_cells(const Json& pod, WallTime now) {
  const Json& status = object_of(pod, "status");
  const Summary summary = summarize(pod);
  std::string restarts = std::to_string(summary.restarts);
  if (summary.restarts > 0 && !summary.last_restart.empty())
    restarts += " (" + age(summary.last_restart, now) + " ago)";
  const Json& ips = array_of(status, "podIPs");
  const std::string ip = ips.empty() ? text_at(status, "podIP") : text_at(ips[0], "ip");
  return {meta_text(pod, "name"),
          fmt::format("{}/{}", summary.ready, summary.total),
          summary.reason,
          restarts,
          created(pod, now),
          ip.empty() ? "<none>" : ip,
          text_or(object_of(pod, "spec"), "nodeName", "<none>"),
          text_or(status, "nominatedNodeName", "<none>"),
          gates_text(pod)};
}

}  // namespace muster::local
