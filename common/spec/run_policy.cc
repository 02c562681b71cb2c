// common/spec/run_policy.cc: spec.runPolicy from JSON
#include "common/spec/run_policy.h"

#include <fmt/format.h>

#include "common/json/access.h"
#include "common/spec/into.h"

namespace muster::spec {

Result<RunPolicy> run_policy_from_json(const Json& json, const std::string& path) {
  RunPolicy policy;
  MUSTER_TRY(
      Fields(json, path)
          .integer("maxRestarts", policy.max_restarts, {.min = 0, .max = 1'000'000})
          .integer("activeDeadlineSeconds", policy.active_deadline_seconds, {.min = 1, .max = 315'360'000})
          .integer("pendingDeadlineSeconds", policy.pending_deadline_seconds, {.min = 1, .max = 315'360'000})
          .integer("progressDeadlineSeconds", policy.progress_deadline_seconds,
                   {.min = 1, .max = 315'360'000})
          .integer("ttlSecondsAfterFinished", policy.ttl_seconds_after_finished,
                   {.min = 0, .max = 315'360'000})
          .one_of("cleanPodPolicy", policy.clean_pod_policy, {"None", "Running", "All"})
          .object("failurePolicy", into(policy.failure_rules, failure_rules_from_json))
          .finish());
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
