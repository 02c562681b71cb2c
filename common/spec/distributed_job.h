#pragma once  // common/spec/distributed_job.h: spec of a DistributedJob: one reader for operator and pods
#include "common/spec/run_policy.h"
#include "common/spec/training.h"

namespace muster::spec {

inline constexpr std::int64_t kWorkersMax =
    1000;  // names of pods stay within 63 characters; the CRD says the same

struct Workers {
  std::int64_t replicas = 1;
  Json pod_template;  // a PodTemplateSpec, as the user wrote it; null: none
};

struct DistributedJobSpec {
  bool suspend = false;
  Workers workers;
  std::optional<Training> training;  // absent: the containers bring their own program
  Synchronization synchronization;
  RunPolicy run_policy;
};

// Strict: the error names the field's path. Pod templates are not looked into.
[[nodiscard]] Result<DistributedJobSpec> distributed_job_from_json(const Json& spec);

// The spec as its pods get it: as it stands in the object, less what is the operator's alone and may change
// at any time (suspend, workers, runPolicy), and less what is at its default, so that a pod of the last
// release reads it unless the job uses what that one cannot do.
[[nodiscard]] Json distributed_job_for_pods(const Json& spec);

}  // namespace muster::spec
