// local/api/table_workloads.cc: the cells of kinds that stand for many pods
#include <fmt/format.h>

#include "common/base/rfc3339.h"
#include "local/api/metadata.h"
#include "local/api/table_cells.h"

namespace muster::local {
namespace {

std::string containers_text(const Json& pod_spec, const char* member) {
  std::vector<std::string> parts;
  for (const Json& each : array_of(pod_spec, "containers")) parts.push_back(text_at(each, member));
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
  return fmt::format("{}/{}", integer_at(object_of(object, "status"), "readyReplicas"),
                     integer_at(object_of(object, "spec"), "replicas"));
}

Cells replicas_cells(const Json& object, WallTime now) {
  const Json& status = object_of(object, "status");
  Cells cells{meta_text(object, "name"), integer_at(object_of(object, "spec"), "replicas"),
              integer_at(status, "replicas"), integer_at(status, "readyReplicas"), created(object, now)};
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
  const auto start = parse_rfc3339(text_at(status, "startTime"));
  if (!start) return "";
  const auto end = parse_rfc3339(text_at(status, "completionTime"));
  return human_duration(std::chrono::duration_cast<std::chrono::seconds>(end.value_or(now) - *start));
}

std::string int_or_string(const Json& object, const char* name) {
  const auto it = object.find(name);
  if (it == object.end() || it->is_null()) return "N/A";
  return it->is_string() ? it->get<std::string>() : it->dump();
}

}  // namespace

Cells deployment_cells(const Json& object, WallTime now) {
  const Json& status = object_of(object, "status");
  Cells cells{meta_text(object, "name"), ready_text(object), integer_at(status, "updatedReplicas"),
              integer_at(status, "availableReplicas"), created(object, now)};
  add_containers(template_spec(object), cells);
  cells.emplace_back(selector_text(object_of(object_of(object, "spec"), "selector"), ""));
  return cells;
}

Cells replica_set_cells(const Json& object, WallTime now) {
  Cells cells = replicas_cells(object, now);
  cells.emplace_back(selector_text(object_of(object_of(object, "spec"), "selector")));
  return cells;
}

Cells job_cells(const Json& object, WallTime now) {
  const Json& spec = object_of(object, "spec");
  const Json& status = object_of(object, "status");
  const std::int64_t parallelism = integer_at(spec, "parallelism");
  std::string completions = fmt::format("{}/", integer_at(status, "succeeded"));
  if (spec.contains("completions"))
    completions += std::to_string(integer_at(spec, "completions"));
  else
    completions += parallelism > 1 ? fmt::format("1 of {}", parallelism) : "1";
  Cells cells{meta_text(object, "name"), job_status(object), completions, job_duration(status, now),
              created(object, now)};
  add_containers(template_spec(object), cells);
  cells.emplace_back(selector_text(object_of(spec, "selector")));
  return cells;
}

Cells disruption_budget_cells(const Json& object, WallTime now) {
  const Json& spec = object_of(object, "spec");
  return {meta_text(object, "name"), int_or_string(spec, "minAvailable"),
          int_or_string(spec, "maxUnavailable"),
          integer_at(object_of(object, "status"), "disruptionsAllowed"), created(object, now)};
}

}  // namespace muster::local
