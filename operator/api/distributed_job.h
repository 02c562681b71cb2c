#pragma once  // operator/api/distributed_job.h: DistributedJob as a typed value, and its status back to JSON
#include "common/spec/training.h"
#include "operator/api/meta.h"
#include "operator/api/run_policy.h"
#include "operator/api/status.h"

namespace muster::op::api {

struct Workers {
  std::int64_t replicas = 1;
  Json pod_template;  // a PodTemplateSpec, as the user wrote it
};

struct DistributedJobSpec {
  bool suspend = false;
  Workers workers;
  std::optional<spec::Training> training;  // absent: the containers bring their own program
  spec::Synchronization synchronization;
  spec::Security security;
  RunPolicy run_policy;
};

struct DistributedJob {
  ObjectMeta meta;
  Result<DistributedJobSpec> spec;  // an error: the spec cannot work; it becomes condition InvalidSpec
  JobStatus status;
};

// The typed spec with defaults filled in. Strict: the error names the field's path.
[[nodiscard]] Result<DistributedJobSpec> distributed_job_spec_from_json(const Json& spec);
// Errors only when the metadata is unusable; a bad spec is kept in `spec`.
[[nodiscard]] Result<DistributedJob> distributed_job_from_json(const Json& object);

}  // namespace muster::op::api
