#pragma once  // local/workloads/deployment.h: the next step of a Deployment's rolling update. Pure
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/json/fields.h"

namespace muster::local {

struct Scaling {
  std::string replica_set;
  std::int64_t from = 0;
  std::int64_t to = 0;
};

struct DeploymentPlan {
  std::optional<Json> create;       // the ReplicaSet of the present template
  std::vector<Scaling> scale;       // of ReplicaSets that are there
  std::vector<std::string> remove;  // ReplicaSets beyond revisionHistoryLimit
  std::string current;              // name of the ReplicaSet of the present template, "" while there is none
  std::string revision;             // annotation of `current` and of the Deployment
  Json status;                      // whole; equal to the stored one when there is no news
  std::optional<WallTime> again;    // when progressDeadlineSeconds are over
};

// One step, as Kubernetes' controller takes it: the ReplicaSet of the present template is created, else
// scaled up by what maxSurge allows, else the others are scaled down by what maxUnavailable allows.
// `replica_sets`: those that it controls. Their statuses say how far their pods are, so a step waits for
// them. Idempotent once the plan is carried out. Strategy Recreate and `paused` are refused at admission.
[[nodiscard]] DeploymentPlan plan_deployment(const Json& deployment, const std::vector<Json>& replica_sets,
                                             WallTime now);

// The annotation under which `kubectl rollout history` finds revisions.
inline constexpr const char* kRevision = "deployment.kubernetes.io/revision";
inline constexpr const char* kTemplateHash = "pod-template-hash";

}  // namespace muster::local
