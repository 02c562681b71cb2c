#pragma once  // common/spec/run_policy.h: spec.runPolicy, the same in both kinds
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/json/fields.h"
#include "common/spec/failure_rules.h"

namespace muster::spec {

struct RunPolicy {
  std::int64_t max_restarts = 3;
  std::optional<std::int64_t> active_deadline_seconds;
  std::optional<std::int64_t> pending_deadline_seconds;   // until all pods run, from the start or their loss
  std::optional<std::int64_t> progress_deadline_seconds;  // from one step or round to the next
  std::optional<std::int64_t> ttl_seconds_after_finished;
  std::string clean_pod_policy = "Running";  // None | Running | All
  // Recreate | InPlace, of a DistributedJob without spec.training: what a failure is answered by.
  std::string restart = "Recreate";
  std::vector<FailureRule> failure_rules;  // the first that fits the end of a pod decides
  friend bool operator==(const RunPolicy&, const RunPolicy&) = default;
};

// Of a FederatedRound; of a DistributedJob, which has `restart` besides.
[[nodiscard]] Result<RunPolicy> run_policy_from_json(const Json& json, const std::string& path);
[[nodiscard]] Result<RunPolicy> job_run_policy_from_json(const Json& json, const std::string& path);

// Who works on the object, spec.managedBy, as in batch/v1: absent or this, the operator does. Anything else
// is another controller's, such as "kueue.x-k8s.io/multikueue", and the operator leaves the object alone.
inline constexpr const char* kManagedByUs = "muster.dev/operator";
// `spec` may be of any form: an object that is another's need not be readable by us.
[[nodiscard]] bool managed_elsewhere(const Json& spec);
// For a strict reader. Errors: kInvalidArgument unless it is a name with a domain: "example.com/controller".
[[nodiscard]] Status check_managed_by(const std::string& name);

}  // namespace muster::spec
