#pragma once  // operator/api/distributed_job.h: DistributedJob as a typed value, and its status back to JSON
#include "common/spec/distributed_job.h"
#include "operator/api/meta.h"
#include "operator/api/status.h"

namespace muster::op::api {

using spec::DistributedJobSpec;

struct DistributedJob {
  ObjectMeta meta;
  Result<DistributedJobSpec> spec;  // an error: the spec cannot work; it becomes condition InvalidSpec
  std::string for_pods;             // the spec as its pods get it, JSON
  JobStatus status;
  bool managed_elsewhere = false;  // spec.managedBy names another controller
};

// The reader of common/spec, and what only the operator judges: templates, and paths by them.
[[nodiscard]] Result<DistributedJobSpec> distributed_job_spec_from_json(const Json& spec);
// Errors only when the metadata is unusable; a bad spec is kept in `spec`.
[[nodiscard]] Result<DistributedJob> distributed_job_from_json(const Json& object);

}  // namespace muster::op::api
