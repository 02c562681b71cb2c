// common/spec/distributed_job.cc: spec of a DistributedJob from JSON, with defaults and strict fields
#include "common/spec/distributed_job.h"

#include "common/json/defaults.h"

namespace muster::spec {
namespace {

Status read_workers(const Json& json, const std::string& path, Workers& workers) {
  return Fields(json, path)
      .integer("replicas", workers.replicas, {.min = 1, .max = kWorkersMax})
      .raw("template", workers.pod_template)
      .finish();
}

}  // namespace

Result<DistributedJobSpec> distributed_job_from_json(const Json& json) {
  DistributedJobSpec spec;
  Fields fields(json, "spec");
  fields.boolean("suspend", spec.suspend);
  fields.object("workers", [&](const Json& value, const std::string& at) {
    return read_workers(value, at, spec.workers);
  });
  fields.object("training", [&](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(spec.training, training_from_json(value, at));
    return {};
  });
  fields.object("synchronization", [&](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(spec.synchronization, synchronization_from_json(value, at));
    return {};
  });
  fields.object("runPolicy", [&](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(spec.run_policy, run_policy_from_json(value, at));
    return {};
  });
  MUSTER_TRY(fields.finish());
  return spec;
}

Json distributed_job_for_pods(const Json& spec) {
  Json told = Json::object();
  for (const char* name : {"training", "synchronization"})
    if (const auto found = spec.find(name); found != spec.end()) told[name] = *found;
  Training usual;
  usual.checkpoint = Checkpoint{};
  return without_defaults(
      told, {{"training", optional_fields(to_json(usual))}, {"synchronization", to_json(Synchronization{})}});
}

}  // namespace muster::spec
