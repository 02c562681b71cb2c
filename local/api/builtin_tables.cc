// local/api/builtin_tables.cc: the columns of built-in kinds, as kubectl users know them
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "local/api/metadata.h"
#include "local/api/table.h"

namespace muster::local {
namespace {

using Cells = std::vector<Json>;

std::string created(const Json& object, WallTime now) {
  return age(meta_text(object, "creationTimestamp"), now);
}

std::string join(const std::vector<std::string>& parts, const char* none = "<none>") {
  return parts.empty() ? none : fmt::format("{}", fmt::join(parts, ","));
}

std::string labels_text(const Json& labels) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : labels.items())
    if (value.is_string()) parts.push_back(key + "=" + value.get<std::string>());
  return join(parts);
}

std::string scalar_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// "Running", "Completed", "CrashLoopBackOff", "Init:0/1", "Terminating": as in printPod of a real server.
std::string init_status(const Json& pod, bool& initializing) {
  const Json& statuses = array_of(object_of(pod, "status"), "initContainerStatuses");
  const std::size_t total = array_of(object_of(pod, "spec"), "initContainers").size();
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    const Json& state = object_of(statuses[i], "state");
    const Json& terminated = object_of(state, "terminated");
    if (state.contains("terminated") && terminated.value("exitCode", 0) == 0) continue;
    if (statuses[i].value("started", Json(false)) == Json(true) &&
        statuses[i].value("ready", Json(false)) == Json(true))
      continue;  // a sidecar
    initializing = true;
    if (state.contains("terminated")) {
      const std::string reason = text_of(terminated, "reason");
      if (!reason.empty()) return "Init:" + reason;
      if (terminated.value("signal", 0) != 0)
        return fmt::format("Init:Signal:{}", terminated.value("signal", 0));
      return fmt::format("Init:ExitCode:{}", terminated.value("exitCode", 0));
    }
    const std::string reason = text_of(object_of(state, "waiting"), "reason");
    if (!reason.empty() && reason != "PodInitializing") return "Init:" + reason;
    return fmt::format("Init:{}/{}", i, total);
  }
  return {};
}

std::string pod_status(const Json& pod) {
  const Json& status = object_of(pod, "status");
  std::string reason = text_of(status, "reason");
  if (reason.empty()) reason = text_of(status, "phase");
  for (const Json& each : array_of(status, "conditions"))
    if (text_of(each, "type") == "PodScheduled" && text_of(each, "reason") == "SchedulingGated")
      reason = "SchedulingGated";
  bool initializing = false;
  const std::string init = init_status(pod, initializing);
  if (initializing) reason = init;
  const Json& containers = array_of(status, "containerStatuses");
  if (!initializing) {
    bool running = false;
    for (std::size_t i = containers.size(); i-- > 0;) {
      const Json& state = object_of(containers[i], "state");
      const Json& terminated = object_of(state, "terminated");
      if (const std::string waiting = text_of(object_of(state, "waiting"), "reason"); !waiting.empty())
        reason = waiting;
      else if (const std::string ended = text_of(terminated, "reason"); !ended.empty())
        reason = ended;
      else if (state.contains("terminated"))
        reason = terminated.value("signal", 0) != 0
                     ? fmt::format("Signal:{}", terminated.value("signal", 0))
                     : fmt::format("ExitCode:{}", terminated.value("exitCode", 0));
      else if (containers[i].value("ready", Json(false)) == Json(true) && state.contains("running"))
        running = true;
    }
    if (reason == "Completed" && running) {
      reason = "NotReady";
      for (const Json& each : array_of(status, "conditions"))
        if (text_of(each, "type") == "Ready" && text_of(each, "status") == "True") reason = "Running";
    }
  }
  if (is_terminating(pod)) reason = text_of(status, "reason") == "NodeLost" ? "Unknown" : "Terminating";
  return reason;
}

Cells pod_cells(const Json& pod, WallTime now) {
  const Json& status = object_of(pod, "status");
  const Json& spec = object_of(pod, "spec");
  std::int64_t ready = 0, restarts = 0;
  std::string last;
  for (const char* list : {"containerStatuses", "initContainerStatuses"})
    for (const Json& each : array_of(status, list)) {
      restarts += each.value("restartCount", std::int64_t{0});
      const std::string finished =
          text_of(object_of(object_of(each, "lastState"), "terminated"), "finishedAt");
      last = std::max(last, finished);
      if (std::string_view(list) == "containerStatuses" && each.value("ready", Json(false)) == Json(true))
        ++ready;
    }
  std::string restarts_text = std::to_string(restarts);
  if (restarts > 0 && !last.empty()) restarts_text += " (" + age(last, now) + " ago)";
  const auto or_none = [](const std::string& text) { return text.empty() ? "<none>" : text; };
  const auto& gates = array_of(spec, "readinessGates");
  return {meta_text(pod, "name"),
          fmt::format("{}/{}", ready, array_of(spec, "containers").size()),
          pod_status(pod),
          restarts_text,
          created(pod, now),
          or_none(text_of(status, "podIP")),
          or_none(text_of(spec, "nodeName")),
          or_none(text_of(status, "nominatedNodeName")),
          gates.empty() ? "<none>" : fmt::format("0/{}", gates.size())};
}

Cells service_cells(const Json& service, WallTime now) {
  const Json& spec = object_of(service, "spec");
  const std::string type = text_of(spec, "type");
  std::vector<std::string> ports, external;
  for (const Json& port : array_of(spec, "ports")) {
    const std::string number = port.value("port", Json(0)).dump();
    const Json node = port.value("nodePort", Json());
    ports.push_back(node.is_number() ? fmt::format("{}:{}/{}", number, node.dump(), text_of(port, "protocol"))
                                     : fmt::format("{}/{}", number, text_of(port, "protocol")));
  }
  for (const Json& ip : array_of(spec, "externalIPs")) external.push_back(scalar_text(ip));
  std::string external_text = join(external);
  if (type == "ExternalName") external_text = text_of(spec, "externalName");
  if (type == "LoadBalancer" && external.empty()) external_text = "<pending>";
  const std::string ip = text_of(spec, "clusterIP");
  return {meta_text(service, "name"),
          type,
          ip.empty() ? "<none>" : ip,
          external_text,
          join(ports),
          created(service, now),
          labels_text(object_of(spec, "selector"))};
}

Cells endpoints_cells(const Json& endpoints, WallTime now) {
  std::vector<std::string> all;
  for (const Json& subset : array_of(endpoints, "subsets"))
    for (const Json& address : array_of(subset, "addresses")) {
      if (array_of(subset, "ports").empty()) all.push_back(text_of(address, "ip"));
      for (const Json& port : array_of(subset, "ports"))
        all.push_back(text_of(address, "ip") + ":" + port.value("port", Json(0)).dump());
    }
  std::string text =
      join({all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(all.size(), 3))});
  if (all.size() > 3) text += fmt::format(" + {} more...", all.size() - 3);
  return {meta_text(endpoints, "name"), text, created(endpoints, now)};
}

Cells node_cells(const Json& node, WallTime now) {
  const Json& status = object_of(node, "status");
  const Json& info = object_of(status, "nodeInfo");
  std::vector<std::string> states, roles;
  for (const Json& each : array_of(status, "conditions"))
    if (text_of(each, "type") == "Ready")
      states.push_back(text_of(each, "status") == "True" ? "Ready" : "NotReady");
  if (states.empty()) states.push_back("Unknown");
  if (object_of(node, "spec").value("unschedulable", Json(false)) == Json(true))
    states.push_back("SchedulingDisabled");
  constexpr std::string_view kRole = "node-role.kubernetes.io/";
  for (const auto& [key, value] : object_of(object_of(node, "metadata"), "labels").items())
    if (key.rfind(kRole, 0) == 0 && key.size() > kRole.size()) roles.push_back(key.substr(kRole.size()));
  std::string internal = "<none>", external = "<none>";
  for (const Json& each : array_of(status, "addresses")) {
    if (text_of(each, "type") == "InternalIP" && internal == "<none>") internal = text_of(each, "address");
    if (text_of(each, "type") == "ExternalIP" && external == "<none>") external = text_of(each, "address");
  }
  const auto or_unknown = [](const std::string& text) { return text.empty() ? "<unknown>" : text; };
  return {meta_text(node, "name"),
          join(states),
          join(roles),
          created(node, now),
          text_of(info, "kubeletVersion"),
          internal,
          external,
          or_unknown(text_of(info, "osImage")),
          or_unknown(text_of(info, "kernelVersion")),
          or_unknown(text_of(info, "containerRuntimeVersion"))};
}

Cells event_cells(const Json& event, WallTime now) {
  const Json& object = object_of(event, "involvedObject");
  std::string kind = text_of(object, "kind");
  std::transform(kind.begin(), kind.end(), kind.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string first = text_of(event, "firstTimestamp"), last = text_of(event, "lastTimestamp");
  if (first.empty()) first = text_of(event, "eventTime");
  if (last.empty()) last = first;
  if (const Json& series = object_of(event, "series"); !series.empty())
    last = text_of(series, "lastObservedTime");
  const Json count = event.contains("series") ? object_of(event, "series").value("count", Json(1))
                                              : event.value("count", Json(1));
  std::string source = text_of(object_of(event, "source"), "component");
  if (source.empty()) source = text_of(event, "reportingComponent");
  const std::string host = text_of(object_of(event, "source"), "host");
  if (!host.empty()) source += ", " + host;
  std::string message = text_of(event, "message");
  while (!message.empty() && (message.back() == '\n' || message.back() == ' ')) message.pop_back();
  return {age(last, now),
          text_of(event, "type"),
          text_of(event, "reason"),
          kind + "/" + text_of(object, "name"),
          text_of(object, "fieldPath"),
          source,
          message,
          age(first, now),
          count == 0 ? Json(1) : count,
          meta_text(event, "name")};
}

Cells workload_cells(const Kind& kind, const Json& object, WallTime now) {
  const Json& spec = object_of(object, "spec");
  const Json& status = object_of(object, "status");
  std::vector<std::string> names, images;
  for (const Json& each : array_of(object_of(object_of(spec, "template"), "spec"), "containers")) {
    names.push_back(text_of(each, "name"));
    images.push_back(text_of(each, "image"));
  }
  const auto count = [](const Json& from, const char* name) { return from.value(name, Json(0)); };
  const Json& match = object_of(object_of(spec, "selector"), "matchLabels");
  if (kind.kind == "Deployment")
    return {meta_text(object, "name"),
            fmt::format("{}/{}", count(status, "readyReplicas").dump(), count(spec, "replicas").dump()),
            count(status, "updatedReplicas"),
            count(status, "availableReplicas"),
            created(object, now),
            join(names),
            join(images),
            labels_text(match)};
  if (kind.kind == "StatefulSet")
    return {meta_text(object, "name"),
            fmt::format("{}/{}", count(status, "readyReplicas").dump(), count(spec, "replicas").dump()),
            created(object, now), join(names), join(images)};
  return {meta_text(object, "name"),
          count(spec, "replicas"),
          count(status, "replicas"),
          count(status, "readyReplicas"),
          created(object, now),
          join(names),
          join(images),
          labels_text(match)};
}

Cells claim_cells(const Json& claim, WallTime now) {
  const Json& spec = object_of(claim, "spec");
  const Json& status = object_of(claim, "status");
  std::vector<std::string> modes;
  static const std::map<std::string, std::string> kShort = {{"ReadWriteOnce", "RWO"},
                                                            {"ReadOnlyMany", "ROX"},
                                                            {"ReadWriteMany", "RWX"},
                                                            {"ReadWriteOncePod", "RWOP"}};
  std::string capacity;
  const bool bound = !text_of(spec, "volumeName").empty();
  if (bound) {
    for (const Json& mode : array_of(status, "accessModes"))
      if (const auto it = kShort.find(scalar_text(mode)); it != kShort.end()) modes.push_back(it->second);
    capacity = text_of(object_of(status, "capacity"), "storage");
  }
  return {meta_text(claim, "name"),
          is_terminating(claim) ? "Terminating" : text_of(status, "phase"),
          text_of(spec, "volumeName"),
          capacity,
          join(modes, ""),
          text_of(spec, "storageClassName"),
          "<unset>",
          created(claim, now),
          text_of(spec, "volumeMode")};
}

struct Definition {
  std::vector<PrinterColumn> columns;
  Cells (*cells)(const Kind&, const Json&, WallTime);
};

PrinterColumn col(const char* name, int priority = 0, const char* type = "string") {
  return PrinterColumn{name, type, "", fmt::format("{} of the object.", name), "", priority};
}

const std::map<std::string, Definition>& definitions() {
  static const std::map<std::string, Definition> kAll = {
      {"pods",
       {{col("Name"), col("Ready"), col("Status"), col("Restarts"), col("Age"), col("IP", 1), col("Node", 1),
         col("Nominated Node", 1), col("Readiness Gates", 1)},
        [](const Kind&, const Json& o, WallTime now) { return pod_cells(o, now); }}},
      {"services",
       {{col("Name"), col("Type"), col("Cluster-IP"), col("External-IP"), col("Port(s)"), col("Age"),
         col("Selector", 1)},
        [](const Kind&, const Json& o, WallTime now) { return service_cells(o, now); }}},
      {"endpoints",
       {{col("Name"), col("Endpoints"), col("Age")},
        [](const Kind&, const Json& o, WallTime now) { return endpoints_cells(o, now); }}},
      {"nodes",
       {{col("Name"), col("Status"), col("Roles"), col("Age"), col("Version"), col("Internal-IP", 1),
         col("External-IP", 1), col("OS-Image", 1), col("Kernel-Version", 1), col("Container-Runtime", 1)},
        [](const Kind&, const Json& o, WallTime now) { return node_cells(o, now); }}},
      {"events",
       {{col("Last Seen"), col("Type"), col("Reason"), col("Object"), col("Subobject", 1), col("Source", 1),
         col("Message"), col("First Seen", 1), col("Count", 1, "integer"), col("Name", 1)},
        [](const Kind&, const Json& o, WallTime now) { return event_cells(o, now); }}},
      {"namespaces",
       {{col("Name"), col("Status"), col("Age")},
        [](const Kind&, const Json& o, WallTime now) {
          return Cells{meta_text(o, "name"), text_of(object_of(o, "status"), "phase"), created(o, now)};
        }}},
      {"configmaps",
       {{col("Name"), col("Data", 0, "integer"), col("Age")},
        [](const Kind&, const Json& o, WallTime now) {
          return Cells{meta_text(o, "name"), object_of(o, "data").size() + object_of(o, "binaryData").size(),
                       created(o, now)};
        }}},
      {"secrets",
       {{col("Name"), col("Type"), col("Data", 0, "integer"), col("Age")},
        [](const Kind&, const Json& o, WallTime now) {
          return Cells{meta_text(o, "name"), text_of(o, "type"), object_of(o, "data").size(),
                       created(o, now)};
        }}},
      {"serviceaccounts",
       {{col("Name"), col("Secrets", 0, "integer"), col("Age")},
        [](const Kind&, const Json& o, WallTime now) {
          return Cells{meta_text(o, "name"), array_of(o, "secrets").size(), created(o, now)};
        }}},
      {"leases.coordination.k8s.io",
       {{col("Name"), col("Holder"), col("Age")},
        [](const Kind&, const Json& o, WallTime now) {
          return Cells{meta_text(o, "name"), text_of(object_of(o, "spec"), "holderIdentity"),
                       created(o, now)};
        }}},
      {"customresourcedefinitions.apiextensions.k8s.io",
       {{col("Name"), PrinterColumn{"Created At", "date", "", "Created At of the object.", "", 0}},
        [](const Kind&, const Json& o, WallTime) {
          return Cells{meta_text(o, "name"), meta_text(o, "creationTimestamp")};
        }}},
      {"persistentvolumeclaims",
       {{col("Name"), col("Status"), col("Volume"), col("Capacity"), col("Access Modes"), col("StorageClass"),
         col("VolumeAttributesClass"), col("Age"), col("VolumeMode", 1)},
        [](const Kind&, const Json& o, WallTime now) { return claim_cells(o, now); }}},
      {"deployments.apps",
       {{col("Name"), col("Ready"), col("Up-to-date", 0, "integer"), col("Available", 0, "integer"),
         col("Age"), col("Containers", 1), col("Images", 1), col("Selector", 1)},
        [](const Kind& k, const Json& o, WallTime now) { return workload_cells(k, o, now); }}},
      {"statefulsets.apps",
       {{col("Name"), col("Ready"), col("Age"), col("Containers", 1), col("Images", 1)},
        [](const Kind& k, const Json& o, WallTime now) { return workload_cells(k, o, now); }}},
      {"replicasets.apps",
       {{col("Name"), col("Desired", 0, "integer"), col("Current", 0, "integer"), col("Ready", 0, "integer"),
         col("Age"), col("Containers", 1), col("Images", 1), col("Selector", 1)},
        [](const Kind& k, const Json& o, WallTime now) { return workload_cells(k, o, now); }}},
      {"roles.rbac.authorization.k8s.io",
       {{col("Name"), col("Created At")},
        [](const Kind&, const Json& o, WallTime) {
          return Cells{meta_text(o, "name"), meta_text(o, "creationTimestamp")};
        }}},
      {"clusterroles.rbac.authorization.k8s.io",
       {{col("Name"), col("Created At")},
        [](const Kind&, const Json& o, WallTime) {
          return Cells{meta_text(o, "name"), meta_text(o, "creationTimestamp")};
        }}},
  };
  return kAll;
}

}  // namespace

bool builtin_columns(const Kind& kind, std::vector<PrinterColumn>& columns) {
  const auto it = definitions().find(kind.resource());
  if (it == definitions().end()) return false;
  columns = it->second.columns;
  return true;
}

Json builtin_cells(const Kind& kind, const Json& object, WallTime now) {
  const auto it = definitions().find(kind.resource());
  if (it == definitions().end()) return Json::array();
  return Json(it->second.cells(kind, object, now));
}

}  // namespace muster::local
