// common/spec/federation.cc: the federation's part of a FederatedRound from and to JSON
#include "common/spec/federation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/spec/common_training.h"

namespace muster::spec {
namespace {

constexpr std::int64_t kExamplesMax = std::int64_t{1} << 40;  // weights are exact up to here

}  // namespace

Result<Target> target_from_json(const Json& json, const std::string& path) {
  Target target;
  MUSTER_TRY(Fields(json, path)
                 .one_of("metric", target.metric, {"Accuracy"})
                 .require("value")
                 .number("value", target.value, {.min = 0, .max = 1})
                 .finish());
  return target;
}

Result<ClientTraining> client_training_from_json(const Json& json, const std::string& path) {
  ClientTraining training;
  MUSTER_TRY(read_program(json, path, training.program));
  Fields fields(json, path);
  fields.ignore("program");
  if (!training.program) fields.require("model").require("dataset");
  read_common(fields, {.model = training.model,
                       .dataset = training.dataset,
                       .objective = training.objective,
                       .optimizer = training.optimizer,
                       .seed = training.seed});
  fields.integer("localEpochs", training.local_epochs, {.min = 1, .max = 100'000})
      .integer("batchSize", training.batch_size, {.min = 0, .max = 1'000'000});
  MUSTER_TRY(fields.finish());
  return training;
}

Result<Cohort> cohort_from_json(const Json& json, const std::string& path) {
  Cohort cohort;
  MUSTER_TRY(
      Fields(json, path)
          .integer("size", cohort.size, {.min = 1, .max = 100'000})
          .number("overSelection", cohort.over_selection, {.min = 1, .max = 10})
          .integer("minimum", cohort.minimum, {.min = 1, .max = 100'000})
          .one_of("sampling", cohort.sampling, {"Uniform", "BySize"})
          .integer("maxExamplesPerClient", cohort.max_examples_per_client, {.min = 1, .max = kExamplesMax})
          .finish());
  return cohort;
}

Result<Stragglers> stragglers_from_json(const Json& json, const std::string& path) {
  Stragglers stragglers;
  MUSTER_TRY(Fields(json, path)
                 .integer("deadlineSeconds", stragglers.deadline_seconds, {.min = 1, .max = 86'400})
                 .one_of("policy", stragglers.policy, {"Drop", "AcceptPartial", "Buffer"})
                 .finish());
  return stragglers;
}

namespace {

// Either who is drawn or how an update weighs may go by the number of examples, never both.
Status check_sampling(const Federation& federation, const StrategyNeeds& needs) {
  if (federation.cohort.sampling != "BySize") return {};
  const std::string& name = federation.strategy.name;
  if (!needs.takes_copies)
    return invalid_argument(fmt::format(
        "spec.cohort.sampling: a client that BySize draws twice counts twice, which {} has no place for; "
        "choose Uniform",
        name));
  if (needs.by_examples)
    return invalid_argument(
        fmt::format("spec.strategy.weighting: BySize draws clients by their examples, and {} would weigh "
                    "their updates by "
                    "them again; write weighting: Equal, or cohort.sampling: Uniform",
                    name));
  return {};
}

Status check_stragglers(const Federation& federation, const StrategyNeeds& needs) {
  const std::string& name = federation.strategy.name;
  const Cohort& cohort = federation.cohort;
  if (!needs.rounds && federation.stragglers.policy != "Drop")
    return invalid_argument(
        fmt::format("spec.stragglers.policy: {} has no rounds that an update could miss, so {} means "
                    "nothing; choose Drop",
                    name, federation.stragglers.policy));
  if (!needs.rounds && (cohort.over_selection > 1 || cohort.minimum > 1))
    return invalid_argument(
        fmt::format("spec.cohort: {} has no rounds: cohort.size clients are at work at any time, and "
                    "strategy.bufferSize updates make a version; remove the fields overSelection and minimum",
                    name));
  if (federation.stragglers.policy == "Buffer" && !needs.takes_late)
    return invalid_argument(fmt::format(
        "spec.stragglers.policy: Buffer lets updates of earlier rounds count with a smaller weight, which {} "
        "has no place for; choose Drop or AcceptPartial",
        name));
  return {};
}

// What the program alone knows, or would have to do in each of its steps.
Status check_program(const Federation& federation) {
  if (!federation.training.program) return {};
  const std::string& name = federation.strategy.name;
  if (name == "SCAFFOLD" || name == "PerFedAvg" || name == "QFedAvg")
    return invalid_argument(
        fmt::format("spec.strategy.name: {} changes what its clients do in each step, which is a program's "
                    "own; choose another, or training.model instead of training.program",
                    name));
  if (federation.personalization)
    return invalid_argument(
        "spec.personalization: a program's examples and layers are its own; remove it, or train a "
        "training.model");
  if (federation.stream)
    return invalid_argument(
        "spec.clients.stream: it deals out a dataset bit by bit, and each client's data is its program's; "
        "remove it");
  if (needs_of(federation.strategy).held_out)
    return invalid_argument(fmt::format(
        "spec.strategy.name: {} scores updates on data of the aggregator, and a program's data is "
        "its own; choose another, or training.dataset instead of training.program",
        name));
  if (federation.stragglers.policy == "AcceptPartial")
    return invalid_argument(
        "spec.stragglers.policy: AcceptPartial stops a training between two steps, which are a program's "
        "own; "
        "choose Drop or Buffer");
  if (federation.cohort.sampling == "BySize")
    return invalid_argument(
        "spec.cohort.sampling: BySize draws clients by their examples, which only a program knows; choose "
        "Uniform");
  const Optimizer& optimizer = federation.training.optimizer;
  if (optimizer.name != "SGD" || optimizer.momentum != 0 || optimizer.weight_decay != 0)
    return invalid_argument(
        "spec.training.optimizer: a program is told learningRate alone, and the rest is its own; remove the "
        "field");
  if (federation.partition.kind != "IID")
    return invalid_argument(
        fmt::format("spec.clients.partition.kind: {} deals out a dataset, and each client's data is its "
                    "program's; remove "
                    "it",
                    federation.partition.kind));
  // With a dataset the aggregator knows what each client's part holds.
  if (needs_of(federation.strategy).by_examples && !federation.cohort.max_examples_per_client)
    return invalid_argument(
        fmt::format("spec.cohort.maxExamplesPerClient: {} weighs an update by the examples that its client "
                    "claims, and of a program nothing else bounds them, so that one client could be the "
                    "model; write how many a client holds at most, or strategy.weighting: Equal",
                    name));
  return {};
}

// As learning/network.h names them.
std::vector<std::string> layers_of(const Model& model) {
  std::vector<std::string> layers;
  if (model.name == "cnn") layers = {"conv1", "conv2"};
  const std::size_t denses = model.name == "cnn" ? 2 : model.name == "mlp" ? model.hidden.size() + 1 : 1;
  for (std::size_t i = 1; i <= denses; ++i) layers.push_back(fmt::format("dense{}", i));
  return layers;
}

// Layers that the aggregator never sees: what it would do with them, and what their state goes by.
Status check_personal_layers(const Federation& federation) {
  if (!federation.personalization || federation.personalization->personal_layers.empty()) return {};
  const auto& personal = federation.personalization->personal_layers;
  const std::string& name = federation.strategy.name;
  const std::vector<std::string> layers = layers_of(federation.training.model);
  for (std::size_t i = 0; i < personal.size(); ++i)
    if (std::ranges::find(layers, personal[i]) == layers.end())
      return invalid_argument(
          fmt::format("spec.personalization.personalLayers[{}]: model {} has no layer \"{}\"; choose of {}",
                      i, federation.training.model.name, personal[i], fmt::join(layers, ", ")));
  if (personal.size() == layers.size())
    return invalid_argument(
        "spec.personalization.personalLayers: with all layers personal there is nothing to learn together; "
        "remove it, or one of them");
  if (name == "SCAFFOLD" || name == "QFedAvg" || name == "FedBuff" || name == "Scoring")
    return invalid_argument(fmt::format(
        "spec.personalization.personalLayers: {} {}; choose another strategy, or remove the field", name,
        name == "FedBuff"   ? "has no rounds, by which such layers go on"
        : name == "Scoring" ? "tests whole models, and the aggregator has no such layers"
                            : "is a formula of all parameters' gradients"));
  if (federation.stragglers.policy == "Buffer")
    return invalid_argument(
        "spec.stragglers.policy: Buffer lets updates of earlier rounds count, and personalLayers go on by "
        "their "
        "own round; choose Drop or AcceptPartial");
  if (federation.target)
    return invalid_argument(
        "spec.target: the aggregator's model has no personalLayers that were ever trained, so that its "
        "accuracy "
        "says nothing; remove it");
  return {};
}

Status check_stream(const Federation& federation, const StrategyNeeds& needs) {
  if (!federation.stream) return {};
  if (federation.cohort.sampling == "BySize")
    return invalid_argument(
        "spec.cohort.sampling: BySize draws clients by how much data they have in all, not by what has come "
        "to "
        "them; choose Uniform");
  if (needs.held_out && federation.stream->label_shift)
    return invalid_argument(
        fmt::format("spec.clients.stream.labelShift: the data on which {} scores updates keeps its labels; "
                    "remove it, or choose "
                    "another strategy",
                    federation.strategy.name));
  return {};
}

Status check_needs(const Federation& federation) {
  const StrategyNeeds needs = needs_of(federation.strategy);
  const Cohort& cohort = federation.cohort;
  const std::string& name = federation.strategy.name;
  if (cohort.minimum < needs.updates_min)
    return invalid_argument(
        fmt::format("spec.cohort.minimum: {} needs at least {} updates with these settings, is {}; raise it",
                    name, needs.updates_min, cohort.minimum));
  if (needs.every_update && cohort.size > kEveryUpdateMax)
    return invalid_argument(fmt::format(
        "spec.cohort.size: {} looks at every update of a round at once, {} at most, is {}; lower it", name,
        kEveryUpdateMax, cohort.size));
  if (needs.every_update && federation.storage_path.empty())
    return invalid_argument(fmt::format(
        "spec.aggregator.storage: {} keeps every update of a round there until all have come; add storage",
        name));
  const Optimizer& optimizer = federation.training.optimizer;
  if (needs.plain_sgd && (optimizer.name != "SGD" || optimizer.momentum > 0))
    return invalid_argument(fmt::format(
        "spec.training.optimizer: {} is a formula of its clients' SGD, which momentum or Adam make another; "
        "choose SGD without momentum",
        name));
  MUSTER_TRY(check_sampling(federation, needs));
  MUSTER_TRY(check_stragglers(federation, needs));
  MUSTER_TRY(check_personal_layers(federation));
  MUSTER_TRY(check_stream(federation, needs));
  if (!federation.rounds && federation.storage_path.empty())
    return invalid_argument(
        "spec.rounds: a federation that goes on for ever leaves its models in aggregator.storage alone; add "
        "storage, or rounds");
  if (!keeps_client_state(federation) && !federation.client_storage_path.empty())
    return invalid_argument(
        fmt::format("spec.clients.storage: {}'s clients keep nothing between rounds; remove it", name));
  return {};
}

}  // namespace

Json to_json(const Federation& federation) {
  const ClientTraining& training = federation.training;
  Json json{{"training",
             {{"localEpochs", training.local_epochs},
              {"batchSize", training.batch_size},
              {"optimizer", to_json(training.optimizer)},
              {"seed", training.seed}}},
            {"strategy", to_json(federation.strategy)},
            {"cohort",
             {{"size", federation.cohort.size},
              {"overSelection", federation.cohort.over_selection},
              {"minimum", federation.cohort.minimum},
              {"sampling", federation.cohort.sampling}}},
            {"stragglers",
             {{"deadlineSeconds", federation.stragglers.deadline_seconds},
              {"policy", federation.stragglers.policy}}},
            {"clients",
             {{"count", federation.clients},
              {"perPod", federation.clients_per_pod},
              {"partition", to_json(federation.partition)}}}};
  if (federation.rounds) json["rounds"] = *federation.rounds;
  if (const auto& most = federation.cohort.max_examples_per_client)
    json["cohort"]["maxExamplesPerClient"] = *most;
  if (federation.personalization) json["personalization"] = to_json(*federation.personalization);
  if (federation.stream) json["clients"]["stream"] = to_json(*federation.stream);
  Json& told = json["training"];
  if (training.program) {
    told["program"] = to_json(*training.program);
  } else {
    told.update({{"model", to_json(training.model)},
                 {"dataset", to_json(training.dataset)},
                 {"objective", training.objective}});
  }
  if (!federation.storage_path.empty()) json["aggregator"]["storage"]["path"] = federation.storage_path;
  if (!federation.client_storage_path.empty())
    json["clients"]["storage"]["path"] = federation.client_storage_path;
  if (federation.target)
    json["target"] = {{"metric", federation.target->metric}, {"value", federation.target->value}};
  return json;
}

bool keeps_client_state(const Federation& federation) {
  return needs_of(federation.strategy).client_state ||
         (federation.personalization && !federation.personalization->personal_layers.empty());
}

std::int64_t selection_count(const Cohort& cohort) {
  const double wanted = std::ceil(static_cast<double>(cohort.size) * cohort.over_selection - 1e-9);
  return std::max(cohort.size, static_cast<std::int64_t>(wanted));
}

Status validate(const Federation& federation) {
  const Cohort& cohort = federation.cohort;
  if (cohort.minimum > cohort.size) {
    return invalid_argument(fmt::format("spec.cohort.minimum: {} is more than spec.cohort.size {}; lower it",
                                        cohort.minimum, cohort.size));
  }
  MUSTER_TRY(check_program(federation));
  MUSTER_TRY(check_needs(federation));
  const std::int64_t selected = selection_count(cohort);
  if (selected > federation.clients) {
    return invalid_argument(fmt::format(
        "spec.cohort: size {} with overSelection {} selects {} clients, but spec.clients.count is {}; lower "
        "cohort.size or overSelection, or raise clients.count",
        cohort.size, cohort.over_selection, selected, federation.clients));
  }
  const bool natural = federation.partition.kind == "Natural";
  if (natural && federation.training.dataset.name != "synthetic") {
    return invalid_argument(
        "spec.clients.partition.kind: Natural needs dataset synthetic, whose devices are the partition; use "
        "IID, "
        "LabelShards or Dirichlet");
  }
  if (natural && federation.training.dataset.synthetic.devices != federation.clients) {
    return invalid_argument(
        fmt::format("spec.training.dataset.synthetic.devices: {} must equal spec.clients.count {}: each "
                    "device is a client",
                    federation.training.dataset.synthetic.devices, federation.clients));
  }
  return {};
}

}  // namespace muster::spec
