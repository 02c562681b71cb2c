// operator/api/federated_round.cc: FederatedRound from JSON: the spec that pods read, too, and what is the
// operator's
#include "operator/api/federated_round.h"

#include "common/json/access.h"
#include "common/spec/pod_templates.h"
#include "operator/api/mounts.h"
#include "operator/api/pod_template.h"
#include "operator/api/rule_containers.h"

namespace muster::op::api {
namespace {

Status check_paths(const FederatedRoundSpec& spec) {
  const spec::ClientTraining& training = spec.federation.training;
  if (const std::string& path = training.dataset.path; !training.program && !path.empty())
    MUSTER_TRY(spec::check_dataset_path(path, "spec.training.dataset.path"));
  if (!spec.federation.client_storage_path.empty())
    MUSTER_TRY(check_storage(spec.federation.client_storage_path, "spec.clients.storage.path",
                             spec.client_template, spec::kClientTemplate.path, "client"));
  if (spec.federation.storage_path.empty()) return {};
  return check_storage(spec.federation.storage_path, "spec.aggregator.storage.path", spec.aggregator_template,
                       spec::kAggregatorTemplate.path, "aggregator");
}

}  // namespace

Result<FederatedRoundSpec> federated_round_spec_from_json(const Json& json) {
  MUSTER_ASSIGN(FederatedRoundSpec spec, spec::federated_round_from_json(json));
  MUSTER_TRY(validate_pod_template(spec.aggregator_template, spec::kAggregatorTemplate.path,
                                   {.role = "aggregator"}));
  const auto& program = spec.federation.training.program;
  MUSTER_TRY(validate_pod_template(spec.client_template, spec::kClientTemplate.path,
                                   {.role = "client", .beside_program = program.has_value()}));
  if (program) MUSTER_TRY(validate_quantities({{"resources", program->resources}}, "spec.training.program"));
  MUSTER_TRY(check_rule_containers(spec.run_policy.failure_rules, {{spec.aggregator_template, "aggregator"},
                                                                   {spec.client_template, "client"}}));
  MUSTER_TRY(check_paths(spec));
  return spec;
}

Result<FederatedRound> federated_round_from_json(const Json& object) {
  MUSTER_ASSIGN(ObjectMeta meta, meta_from_json(object));
  const Json& spec = member(object, "spec");
  const Json& status = member(object, "status");
  auto read = federated_round_spec_from_json(spec.is_null() ? Json::object() : spec);
  std::string told = read ? spec::federated_round_for_pods(spec).dump() : "";
  return FederatedRound{.meta = std::move(meta),
                        .spec = std::move(read),
                        .for_pods = std::move(told),
                        .status = status.is_null() ? JobStatus{} : status_from_json(status),
                        .managed_elsewhere = spec::managed_elsewhere(spec)};
}

}  // namespace muster::op::api
