// local/api/table_workloads.cc: the cells of kinds that stand for many pods
#include <fmt/format.h>

#include <algorithm>

#include "local/api/metadata.h"
#include "local/api/table_cells.h"

namespace muster::local {
namespace {

constexpr std::size_t kMetricsShown = 2;

std::string containers_text(const Json& pod_spec, const char* member) {
  std::vector<std::string> parts;
  for (const Json& each : array_of(pod_spec, "containers")) parts.push_back(text_of(each, member));
  return join(parts, "");
}

const Json& template_spec(const Json& object) {
  return object_of(object_of(object_of(object, "spec"), "template"), "spec");
}

// What a wide table adds.
void add_containers(const Json& pod_spec, Cells& cells) {
  cells.emplace_back(containers_text(pod_spec, "name"));
  cells.emplace_back(containers_text(pod_spec, "image"));
}

std::string ready_text(const Json& object) {
  return fmt::format("{}/{}", integer_of(object_of(object, "status"), "readyReplicas"),
                     integer_of(object_of(object, "spec"), "replicas"));
}

Cells replicas_cells(const Json& object, WallTime now) {
  const Json& status = object_of(object, "status");
  Cells cells{meta_text(object, "name"), integer_of(object_of(object, "spec"), "replicas"),
              integer_of(status, "replicas"), integer_of(status, "readyReplicas"), created(object, now)};
  add_containers(template_spec(object), cells);
  return cells;
}

std::string job_status(const Json& job) {
  const Json& status = object_of(job, "status");
  if (has_condition(status, "Complete")) return "Complete";
  if (has_condition(status, "Failed")) return "Failed";
  if (is_terminating(job)) return "Terminating";
  if (has_condition(status, "Suspended")) return "Suspended";
  if (has_condition(status, "FailureTarget")) return "FailureTarget";
  if (has_condition(status, "SuccessCriteriaMet")) return "SuccessCriteriaMet";
  return "Running";
}

std::string job_duration(const Json& status, WallTime now) {
  const auto start = parse_time(text_of(status, "startTime"));
  if (!start) return "";
  const auto end = parse_time(text_of(status, "completionTime"));
  return human_duration(std::chrono::duration_cast<std::chrono::seconds>(end.value_or(now) - *start));
}

// One metric of an autoscaler: what is, and what is wanted.
std::string metric_text(const Json& metric, const Json& status) {
  const std::string type = text_of(metric, "type");
  const std::string member = type == "Resource"            ? "resource"
                             : type == "ContainerResource" ? "containerResource"
                             : type == "Pods"              ? "pods"
                             : type == "Object"            ? "object"
                             : type == "External"          ? "external"
                                                           : "";
  if (member.empty()) return "<unknown type>";
  const Json& source = object_of(metric, member.c_str());
  const Json& target = object_of(source, "target");
  const Json& current = object_of(object_of(status, member.c_str()), "current");
  const bool resource = type == "Resource" || type == "ContainerResource";
  const std::string prefix = resource ? text_of(source, "name") + ": " : "";
  if (target.contains("averageValue"))
    return prefix + text_or(current, "averageValue", "<unknown>") + "/" + text_of(target, "averageValue") +
           (type == "Object" || type == "External" ? " (avg)" : "");
  if (!resource) return text_or(current, "value", "<unknown>") + "/" + text_of(target, "value");
  const auto percent = [](const Json& from, const char* none) {
    return from.contains("averageUtilization") ? fmt::format("{}%", integer_of(from, "averageUtilization"))
                                               : std::string(none);
  };
  return prefix + percent(current, "<unknown>") + "/" + percent(target, "<auto>");
}

std::string metrics_text(const Json& autoscaler) {
  const Json& metrics = array_of(object_of(autoscaler, "spec"), "metrics");
  const Json& current = array_of(object_of(autoscaler, "status"), "currentMetrics");
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < std::min(metrics.size(), kMetricsShown); ++i)
    parts.push_back(metric_text(metrics[i], i < current.size() ? current[i] : Json()));
  if (parts.empty()) return "<none>";
  std::string text = fmt::format("{}", fmt::join(parts, ", "));
  if (metrics.size() > kMetricsShown) text += fmt::format(" + {} more...", metrics.size() - kMetricsShown);
  return text;
}

std::string int_or_string(const Json& object, const char* name) {
  const auto it = object.find(name);
  if (it == object.end() || it->is_null()) return "N/A";
  return it->is_string() ? it->get<std::string>() : it->dump();
}

}  // namespace

Cells pod_template_cells(const Json& object, WallTime) {
  const Json& pod = object_of(object, "template");
  Cells cells{meta_text(object, "name")};
  add_containers(object_of(pod, "spec"), cells);
  cells.emplace_back(labels_text(object_of(object_of(pod, "metadata"), "labels")));
  return cells;
}

Cells deployment_cells(const Json& object, WallTime now) {
  const Json& status = object_of(object, "status");
  Cells cells{meta_text(object, "name"), ready_text(object), integer_of(status, "updatedReplicas"),
              integer_of(status, "availableReplicas"), created(object, now)};
  add_containers(template_spec(object), cells);
  cells.emplace_back(selector_text(object_of(object_of(object, "spec"), "selector"), ""));
  return cells;
}

Cells stateful_set_cells(const Json& object, WallTime now) {
  Cells cells{meta_text(object, "name"), ready_text(object), created(object, now)};
  add_containers(template_spec(object), cells);
  return cells;
}

Cells replica_set_cells(const Json& object, WallTime now) {
  Cells cells = replicas_cells(object, now);
  cells.emplace_back(selector_text(object_of(object_of(object, "spec"), "selector")));
  return cells;
}

Cells replication_controller_cells(const Json& object, WallTime now) {
  Cells cells = replicas_cells(object, now);
  cells.emplace_back(labels_text(object_of(object_of(object, "spec"), "selector")));
  return cells;
}

Cells daemon_set_cells(const Json& object, WallTime now) {
  const Json& status = object_of(object, "status");
  Cells cells{meta_text(object, "name")};
  for (const char* name : {"desiredNumberScheduled", "currentNumberScheduled", "numberReady",
                           "updatedNumberScheduled", "numberAvailable"})
    cells.emplace_back(integer_of(status, name));
  cells.emplace_back(labels_text(object_of(template_spec(object), "nodeSelector")));
  cells.emplace_back(created(object, now));
  add_containers(template_spec(object), cells);
  cells.emplace_back(selector_text(object_of(object_of(object, "spec"), "selector")));
  return cells;
}

Cells job_cells(const Json& object, WallTime now) {
  const Json& spec = object_of(object, "spec");
  const Json& status = object_of(object, "status");
  const std::int64_t parallelism = integer_of(spec, "parallelism");
  std::string completions = fmt::format("{}/", integer_of(status, "succeeded"));
  if (spec.contains("completions"))
    completions += std::to_string(integer_of(spec, "completions"));
  else
    completions += parallelism > 1 ? fmt::format("1 of {}", parallelism) : "1";
  Cells cells{meta_text(object, "name"), job_status(object), completions, job_duration(status, now),
              created(object, now)};
  add_containers(template_spec(object), cells);
  cells.emplace_back(selector_text(object_of(spec, "selector")));
  return cells;
}

Cells cron_job_cells(const Json& object, WallTime now) {
  const Json& spec = object_of(object, "spec");
  const Json& status = object_of(object, "status");
  const Json& job = object_of(object_of(spec, "jobTemplate"), "spec");
  const std::string last = text_of(status, "lastScheduleTime");
  Cells cells{meta_text(object, "name"),
              text_of(spec, "schedule"),
              text_or(spec, "timeZone", "<none>"),
              !spec.contains("suspend")  ? "<unset>"
              : flag_of(spec, "suspend") ? "True"
                                         : "False",
              array_of(status, "active").size(),
              last.empty() ? "<none>" : age(last, now),
              created(object, now)};
  add_containers(object_of(object_of(job, "template"), "spec"), cells);
  cells.emplace_back(selector_text(object_of(job, "selector")));
  return cells;
}

Cells revision_cells(const Json& object, WallTime now) {
  std::string controller = "<none>";
  for (const Json& owner : array_of(object_of(object, "metadata"), "ownerReferences")) {
    if (!flag_of(owner, "controller")) continue;
    const std::string version = text_of(owner, "apiVersion");
    const auto slash = version.find('/');
    controller = text_of(owner, "kind");
    if (slash != std::string::npos) controller += "." + version.substr(0, slash);
    std::transform(controller.begin(), controller.end(), controller.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    controller += "/" + text_of(owner, "name");
  }
  return {meta_text(object, "name"), controller, integer_of(object, "revision"), created(object, now)};
}

Cells autoscaler_cells(const Json& object, WallTime now) {
  const Json& spec = object_of(object, "spec");
  const Json& target = object_of(spec, "scaleTargetRef");
  return {meta_text(object, "name"),
          text_of(target, "kind") + "/" + text_of(target, "name"),
          metrics_text(object),
          spec.contains("minReplicas") ? std::to_string(integer_of(spec, "minReplicas")) : "<unset>",
          integer_of(spec, "maxReplicas"),
          integer_of(object_of(object, "status"), "currentReplicas"),
          created(object, now)};
}

Cells disruption_budget_cells(const Json& object, WallTime now) {
  const Json& spec = object_of(object, "spec");
  return {meta_text(object, "name"), int_or_string(spec, "minAvailable"),
          int_or_string(spec, "maxUnavailable"),
          integer_of(object_of(object, "status"), "disruptionsAllowed"), created(object, now)};
}

}  // namespace muster::local
