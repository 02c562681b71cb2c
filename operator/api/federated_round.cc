// operator/api/federated_round.cc: FederatedRound from JSON, with defaults and strict fields
#include "operator/api/federated_round.h"

#include <fmt/format.h>

#include "operator/api/mounts.h"
#include "operator/api/pod_template.h"

namespace muster::op::api {
namespace {

template <typename T>
std::function<Status(const Json&, const std::string&)> into(T& out, Result<T> (*read)(const Json&,
                                                                                      const std::string&)) {
  return [&out, read](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(out, read(value, at));
    return {};
  };
}

Status read_aggregator(const Json& json, const std::string& path, FederatedRoundSpec& spec) {
  Fields fields(json, path);
  fields.raw("template", spec.aggregator_template);
  fields.object("storage", [&](const Json& value, const std::string& at) {
    return Fields(value, at).require("path").string("path", spec.federation.storage_path).finish();
  });
  return fields.finish();
}

Status read_clients(const Json& json, const std::string& path, FederatedRoundSpec& spec) {
  Fields fields(json, path);
  fields.require("count")
      .integer("count", spec.federation.clients, {.min = 1, .max = kClientsMax})
      .integer("perPod", spec.federation.clients_per_pod, {.min = 1, .max = kClientsPerPodMax})
      .raw("template", spec.client_template)
      .object("partition", into(spec.federation.partition, spec::partition_from_json));
  MUSTER_TRY(fields.finish());
  if (spec.client_pods() > kClientPodsMax) {
    return invalid_argument(fmt::format(
        "{}.perPod: {} clients at {} a pod are {} pods, more than {}; raise perPod", path,
        spec.federation.clients, spec.federation.clients_per_pod, spec.client_pods(), kClientPodsMax));
  }
  return {};
}

Status check_paths(const FederatedRoundSpec& spec) {
  if (const std::string& path = spec.federation.training.dataset.path; !path.empty())
    MUSTER_TRY(spec::check_dataset_path(path, "spec.training.dataset.path"));
  if (spec.federation.storage_path.empty()) return {};
  return check_storage(spec.federation.storage_path, "spec.aggregator.storage.path", spec.aggregator_template,
                       "spec.aggregator.template", "aggregator");
}

Status read_strategy(const Json& json, const std::string& path, FederatedRoundSpec& spec) {
  return Fields(json, path).one_of("name", spec.federation.strategy, {"FedAvg"}).finish();
}

}  // namespace

Result<FederatedRoundSpec> federated_round_spec_from_json(const Json& json) {
  FederatedRoundSpec spec;
  spec::Federation& federation = spec.federation;
  Fields fields(json, "spec");
  fields.require("rounds").require("training").require("clients");
  fields.boolean("suspend", spec.suspend).integer("rounds", federation.rounds, {.min = 1, .max = 1'000'000});
  fields.object("target", [&](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(federation.target, spec::target_from_json(value, at));
    return {};
  });
  fields.object("training", into(federation.training, spec::client_training_from_json))
      .object("cohort", into(federation.cohort, spec::cohort_from_json))
      .object("stragglers", into(federation.stragglers, spec::stragglers_from_json))
      .object("runPolicy", into(spec.run_policy, run_policy_from_json));
  fields.object("strategy",
                [&](const Json& value, const std::string& at) { return read_strategy(value, at, spec); });
  fields.object("aggregator",
                [&](const Json& value, const std::string& at) { return read_aggregator(value, at, spec); });
  fields.object("clients",
                [&](const Json& value, const std::string& at) { return read_clients(value, at, spec); });
  MUSTER_TRY(fields.finish());
  MUSTER_TRY(spec::validate(federation));
  MUSTER_TRY(
      validate_pod_template(spec.aggregator_template, "spec.aggregator.template", {.role = "aggregator"}));
  MUSTER_TRY(validate_pod_template(spec.client_template, "spec.clients.template", {.role = "client"}));
  MUSTER_TRY(check_paths(spec));
  return spec;
}

Result<FederatedRound> federated_round_from_json(const Json& object) {
  MUSTER_ASSIGN(ObjectMeta meta, meta_from_json(object));
  const auto spec = object.find("spec");
  const auto status = object.find("status");
  return FederatedRound{.meta = std::move(meta),
                        .spec = federated_round_spec_from_json(spec == object.end() ? Json::object() : *spec),
                        .status = status == object.end() ? JobStatus{} : status_from_json(*status)};
}

}  // namespace muster::op::api
