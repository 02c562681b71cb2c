// local/runtime/container_state.cc: container statuses and conditions as JSON
#include "local/runtime/container_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "common/base/rfc3339.h"
#include "local/runtime/json_access.h"

namespace muster::local {
namespace {

Json waiting_state(const ContainerState& container) {
  Json waiting{{"reason", container.reason}};
  if (!container.message.empty()) waiting["message"] = container.message;
  return {{"waiting", std::move(waiting)}};
}

Json terminated_or_none(const Json& ended) {
  return ended.is_null() ? Json::object() : Json{{"terminated", ended}};
}

void add_states(const ContainerState& container, Json& out) {
  switch (container.life) {
    case Life::kWaiting:
      out["state"] = waiting_state(container);
      out["lastState"] = terminated_or_none(container.ended);
      return;
    case Life::kStarting:  // until it runs, what was there before shows
      out["state"] =
          container.ended.is_null() ? waiting_state(container) : terminated_or_none(container.ended);
      out["lastState"] = terminated_or_none(container.ended_before);
      return;
    case Life::kRunning:
      out["state"] = {{"running", {{"startedAt", rfc3339(container.running_since->wall)}}}};
      out["lastState"] = terminated_or_none(container.ended);
      return;
    case Life::kEnded:
      out["state"] = terminated_or_none(container.ended);
      out["lastState"] = terminated_or_none(container.ended_before);
      return;
  }
}

// What the kubelet repeats of the spec once a container runs.
void add_resources(const Json& spec, Json& out) {
  const Json& resources = member(spec, "resources");
  out["resources"] = resources.is_object() ? resources : Json::object();
  Json allocated = member(resources, "requests").is_object() ? member(resources, "requests") : Json::object();
  for (const auto& [name, limit] : member(resources, "limits").items()) {
    if (allocated.contains(name)) continue;
    allocated[name] = limit;
    out["resources"]["requests"][name] = limit;
  }
  if (!allocated.empty()) out["allocatedResources"] = std::move(allocated);
}

Json mount_statuses(const Json& spec) {
  Json out = Json::array();
  for (const Json& mount : member(spec, "volumeMounts")) {
    Json status{{"name", member(mount, "name")}, {"mountPath", member(mount, "mountPath")}};
    if (boolean(member(mount, "readOnly"))) {
      status["readOnly"] = true;
      status["recursiveReadOnly"] = "Disabled";
    }
    out.push_back(std::move(status));
  }
  return out;
}

}  // namespace

bool has_post_start(const Json& container_spec) {
  return member(container_spec, "lifecycle", "postStart").is_object();
}

std::string go_duration(std::chrono::seconds span) {
  const auto seconds = span.count();
  if (seconds < 60) return fmt::format("{}s", seconds);
  return fmt::format("{}m{}s", seconds / 60, seconds % 60);
}

Json container_status(const ContainerState& container) {
  const std::string image = text(member(container.spec, "image"));
  Json out{{"name", container.name},
           {"image", image},
           {"imageID", container.id.empty() ? "" : "muster://" + image},
           {"restartCount", container.restarts},
           {"started", container.started},
           {"ready", container.ready}};
  add_states(container, out);
  if (!container.id.empty()) {
    out["containerID"] = "muster://" + container.id;
    add_resources(container.spec, out);
  }
  if (Json mounts = mount_statuses(container.spec); !mounts.empty()) out["volumeMounts"] = std::move(mounts);
  return out;
}

Json terminated_state(int exit_code, const std::string& reason, const std::string& message,
                      const std::string& id, std::optional<Moment> started, Moment finished) {
  Json out{{"exitCode", exit_code},
           {"reason", reason},
           {"startedAt", rfc3339(started ? started->wall : WallTime())},
           {"finishedAt", rfc3339(finished.wall)}};
  if (!message.empty()) out["message"] = message;
  if (!id.empty()) out["containerID"] = "muster://" + id;
  return out;
}

void Conditions::set(const std::string& type, bool status, WallTime now, const std::string& reason,
                     const std::string& message) {
  auto found = std::ranges::find(all_, type, &Condition::type);
  if (found == all_.end()) {
    all_.push_back({.type = type, .status = !status, .since = "", .reason = "", .message = ""});
    found = all_.end() - 1;
  }
  if (found->status != status) found->since = rfc3339(now);
  found->status = status;
  found->reason = reason;
  found->message = message;
}

Json Conditions::json() const {
  constexpr std::array<std::string_view, 5> kOrder{"PodReadyToStartContainers", "Initialized", "Ready",
                                                   "ContainersReady", "PodScheduled"};
  Json out = Json::array();
  for (const std::string_view type : kOrder) {
    const auto found = std::ranges::find(all_, type, &Condition::type);
    if (found == all_.end()) continue;
    Json condition{{"type", type},
                   {"status", found->status ? "True" : "False"},
                   {"lastProbeTime", nullptr},
                   {"lastTransitionTime", found->since}};
    if (!found->reason.empty()) condition["reason"] = found->reason;
    if (!found->message.empty()) condition["message"] = found->message;
    out.push_back(std::move(condition));
  }
  return out;
}

}  // namespace muster::local
