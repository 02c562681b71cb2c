// operator/api/distributed_job.cc: DistributedJob from JSON, with defaults and strict fields
#include "operator/api/distributed_job.h"

#include "operator/api/pod_template.h"

namespace muster::op::api {
namespace {

Status read_workers(const Json& json, const std::string& path, Workers& workers) {
  return Fields(json, path)
      .integer("replicas", workers.replicas, {.min = 1, .max = kWorkersMax})
      .raw("template", workers.pod_template)
      .finish();
}

}  // namespace

Result<DistributedJobSpec> distributed_job_spec_from_json(const Json& json) {
  DistributedJobSpec spec;
  Fields fields(json, "spec");
  fields.boolean("suspend", spec.suspend);
  fields.object("workers", [&](const Json& value, const std::string& at) {
    return read_workers(value, at, spec.workers);
  });
  fields.object("training", [&](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(spec.training, spec::training_from_json(value, at));
    return {};
  });
  fields.object("synchronization", [&](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(spec.synchronization, spec::synchronization_from_json(value, at));
    return {};
  });
  fields.object("security", [&](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(spec.security, spec::security_from_json(value, at));
    return {};
  });
  fields.object("runPolicy", [&](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(spec.run_policy, run_policy_from_json(value, at));
    return {};
  });
  MUSTER_TRY(fields.finish());
  if (spec.security.encrypt_traffic && !spec.training)
    return invalid_argument(
        "spec.security.encryptTraffic: encrypts the connections of Muster's own workers; remove it, or use "
        "spec.training");
  MUSTER_TRY(validate_pod_template(spec.workers.pod_template, "spec.workers.template",
                                   {.role = "worker", .image_is_ours = spec.training.has_value()}));
  return spec;
}

Result<DistributedJob> distributed_job_from_json(const Json& object) {
  MUSTER_ASSIGN(ObjectMeta meta, meta_from_json(object));
  const auto spec = object.find("spec");
  const auto status = object.find("status");
  return DistributedJob{.meta = std::move(meta),
                        .spec = distributed_job_spec_from_json(spec == object.end() ? Json::object() : *spec),
                        .status = status == object.end() ? JobStatus{} : status_from_json(*status)};
}

}  // namespace muster::op::api
