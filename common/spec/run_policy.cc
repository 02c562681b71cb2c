// common/spec/run_policy.cc: spec.runPolicy from JSON
#include "common/spec/run_policy.h"

namespace muster::spec {

Result<RunPolicy> run_policy_from_json(const Json& json, const std::string& path) {
  RunPolicy policy;
  MUSTER_TRY(
      Fields(json, path)
          .integer("maxRestarts", policy.max_restarts, {.min = 0, .max = 1'000'000})
          .integer("activeDeadlineSeconds", policy.active_deadline_seconds, {.min = 1, .max = 315'360'000})
          .integer("ttlSecondsAfterFinished", policy.ttl_seconds_after_finished,
                   {.min = 0, .max = 315'360'000})
          .one_of("cleanPodPolicy", policy.clean_pod_policy, {"None", "Running", "All"})
          .finish());
  return policy;
}

}  // namespace muster::spec
