// common/spec/federated_round.cc: spec of a FederatedRound from JSON, with defaults and strict fields
#include "common/spec/federated_round.h"

#include <fmt/format.h>

#include "common/json/defaults.h"
#include "common/spec/into.h"

namespace muster::spec {
namespace {

auto storage_reader(std::string& folder) {
  return [&folder](const Json& value, const std::string& at) {
    return Fields(value, at).require("path").string("path", folder).finish();
  };
}

Status read_aggregator(const Json& json, const std::string& path, FederatedRoundSpec& spec) {
  Fields fields(json, path);
  fields.raw("template", spec.aggregator_template);
  fields.object("storage", storage_reader(spec.federation.storage_path));
  return fields.finish();
}

Status read_clients(const Json& json, const std::string& path, FederatedRoundSpec& spec) {
  Fields fields(json, path);
  fields.require("count")
      .integer("count", spec.federation.clients, {.min = 1, .max = kClientsMax})
      .integer("perPod", spec.federation.clients_per_pod, {.min = 1, .max = kClientsPerPodMax})
      .raw("template", spec.client_template)
      .object("storage", storage_reader(spec.federation.client_storage_path))
      .object("stream", into(spec.federation.stream, stream_from_json))
      .object("partition", into(spec.federation.partition, partition_from_json));
  MUSTER_TRY(fields.finish());
  if (spec.client_pods() > kClientPodsMax) {
    return invalid_argument(fmt::format(
        "{}.perPod: {} clients at {} a pod are {} pods, more than {}; raise perPod", path,
        spec.federation.clients, spec.federation.clients_per_pod, spec.client_pods(), kClientPodsMax));
  }
  return {};
}

}  // namespace

Result<FederatedRoundSpec> federated_round_from_json(const Json& json) {
  FederatedRoundSpec spec;
  Federation& federation = spec.federation;
  Fields fields(json, "spec");
  fields.require("training").require("clients");
  federation.rounds.reset();
  fields.boolean("suspend", spec.suspend)
      .string("managedBy", spec.managed_by)
      .integer("rounds", federation.rounds, {.min = 1, .max = 1'000'000});
  fields.object("target", into(federation.target, target_from_json))
      .object("training", into(federation.training, client_training_from_json))
      .object("strategy", into(federation.strategy, strategy_from_json))
      .object("cohort", into(federation.cohort, cohort_from_json))
      .object("stragglers", into(federation.stragglers, stragglers_from_json))
      .object("personalization", into(federation.personalization, personalization_from_json))
      .object("runPolicy", into(spec.run_policy, run_policy_from_json));
  fields.object("aggregator",
                [&](const Json& value, const std::string& at) { return read_aggregator(value, at, spec); });
  fields.object("clients",
                [&](const Json& value, const std::string& at) { return read_clients(value, at, spec); });
  MUSTER_TRY(fields.finish());
  MUSTER_TRY(check_managed_by(spec.managed_by));
  MUSTER_TRY(validate(federation));
  return spec;
}

Json federated_round_for_pods(const Json& spec) {
  Json told = spec;
  for (const char* name : {"suspend", "managedBy", "runPolicy"}) told.erase(name);
  for (const char* role : {"aggregator", "clients"})
    if (const auto part = told.find(role); part != told.end() && part->is_object()) part->erase("template");
  Json usual = to_json(Federation{});
  usual["training"] = optional_fields(std::move(usual["training"]));
  usual["clients"].erase("count");
  usual["aggregator"] = Json::object();
  usual["target"] = {{"metric", Target{}.metric}};
  usual.erase("rounds");
  return without_defaults(told, usual);
}

}  // namespace muster::spec
