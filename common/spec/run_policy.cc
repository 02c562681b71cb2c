// common/spec/run_policy.cc: spec.runPolicy from JSON
#include "common/spec/run_policy.h"

#include <fmt/format.h>

#include "common/json/access.h"
#include "common/spec/into.h"

namespace muster::spec {

namespace {

Fields& common_fields(Fields& fields, RunPolicy& policy) {
  return fields.integer("maxRestarts", policy.max_restarts, {.min = 0, .max = 1'000'000})
      .integer("activeDeadlineSeconds", policy.active_deadline_seconds, {.min = 1, .max = 315'360'000})
      .integer("pendingDeadlineSeconds", policy.pending_deadline_seconds, {.min = 1, .max = 315'360'000})
      .integer("progressDeadlineSeconds", policy.progress_deadline_seconds, {.min = 1, .max = 315'360'000})
      .integer("ttlSecondsAfterFinished", policy.ttl_seconds_after_finished, {.min = 0, .max = 315'360'000})
      .one_of("cleanPodPolicy", policy.clean_pod_policy, {"None", "Running", "All"})
      .object("failurePolicy", into(policy.failure_rules, failure_rules_from_json));
}

}  // namespace

Result<RunPolicy> run_policy_from_json(const Json& json, const std::string& path) {
  RunPolicy policy;
  Fields fields(json, path);
  MUSTER_TRY(common_fields(fields, policy).finish());
  return policy;
}

Result<RunPolicy> job_run_policy_from_json(const Json& json, const std::string& path) {
  RunPolicy policy;
  Fields fields(json, path);
  MUSTER_TRY(
      common_fields(fields, policy).one_of("restart", policy.restart, {"Recreate", "InPlace"}).finish());
  return policy;
}

bool managed_elsewhere(const Json& spec) {
  const std::string name = text(member(spec, "managedBy"));
  return !name.empty() && name != kManagedByUs;
}

Status check_managed_by(const std::string& name) {
  const auto slash = name.find('/');
  const bool fits = name.size() <= 63 && slash != std::string::npos && slash > 0 && slash + 1 < name.size();
  if (name.empty() || fits) return {};
  return invalid_argument(
      fmt::format("spec.managedBy: {} is no name with a domain of at most 63 characters, such as {}", name,
                  kManagedByUs));
}

}  // namespace muster::spec
