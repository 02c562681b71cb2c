// operator/api/distributed_job.cc: DistributedJob from JSON: the spec that pods read, too, and what is the
// operator's
#include "operator/api/distributed_job.h"

#include "common/json/access.h"
#include "common/spec/pod_templates.h"
#include "operator/api/mounts.h"
#include "operator/api/pod_template.h"
#include "operator/api/rule_containers.h"

namespace muster::op::api {
namespace {

Status check_paths(const DistributedJobSpec& spec) {
  if (!spec.training) return {};
  if (const std::string& path = spec.training->dataset.path; !path.empty())
    MUSTER_TRY(spec::check_dataset_path(path, "spec.training.dataset.path"));
  if (!spec.training->checkpoint) return {};
  if (spec.training->program)
    MUSTER_TRY(check_shared_storage(spec.training->checkpoint->path, "spec.training.checkpoint.path",
                                    spec.workers.pod_template, "worker"));
  return check_storage(spec.training->checkpoint->path, "spec.training.checkpoint.path",
                       spec.workers.pod_template, spec::kWorkerTemplate.path, "worker");
}

}  // namespace

Result<DistributedJobSpec> distributed_job_spec_from_json(const Json& json) {
  MUSTER_ASSIGN(DistributedJobSpec spec, spec::distributed_job_from_json(json));
  MUSTER_TRY(validate_pod_template(spec.workers.pod_template, spec::kWorkerTemplate.path,
                                   {.role = "worker",
                                    .image_is_ours = spec.training.has_value(),
                                    .beside_program = spec.training && spec.training->program,
                                    .in_place = spec.restarts_in_place()}));
  if (spec.training && spec.training->program)
    MUSTER_TRY(
        validate_quantities({{"resources", spec.training->program->resources}}, "spec.training.program"));
  std::vector<RoleTemplate> templates{{spec.workers.pod_template, "worker"}};
  if (const auto& servers = spec.synchronization.parameter_servers) {
    MUSTER_TRY(validate_pod_template(servers->pod_template, spec::kServerTemplate.path,
                                     {.role = "server", .image_is_ours = true}));
    templates.push_back({servers->pod_template, "server"});
  }
  MUSTER_TRY(check_rule_containers(spec.run_policy.failure_rules, templates));
  MUSTER_TRY(check_paths(spec));
  return spec;
}

Result<DistributedJob> distributed_job_from_json(const Json& object) {
  MUSTER_ASSIGN(ObjectMeta meta, meta_from_json(object));
  const Json& spec = member(object, "spec");
  const Json& status = member(object, "status");
  auto read = distributed_job_spec_from_json(spec.is_null() ? Json::object() : spec);
  std::string told = read ? spec::distributed_job_for_pods(spec).dump() : "";
  return DistributedJob{.meta = std::move(meta),
                        .spec = std::move(read),
                        .for_pods = std::move(told),
                        .status = status.is_null() ? JobStatus{} : status_from_json(status),
                        .managed_elsewhere = spec::managed_elsewhere(spec)};
}

}  // namespace muster::op::api
