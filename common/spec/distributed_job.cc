// common/spec/distributed_job.cc: spec of a DistributedJob from JSON, with defaults and strict fields
#include "common/spec/distributed_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "common/base/quantity.h"
#include "common/json/access.h"
#include "common/json/defaults.h"
#include "common/spec/into.h"

namespace muster::spec {
namespace {

Status read_workers(const Json& json, const std::string& path, Workers& workers) {
  Rendezvous& rendezvous = workers.rendezvous;
  return Fields(json, path)
      .integer("replicas", workers.replicas, {.min = 0, .max = kWorkersMax})
      .integer("minReplicas", workers.min_replicas, {.min = 1, .max = kWorkersMax})
      .integer("maxReplicas", workers.max_replicas, {.min = 1, .max = kWorkersMax})
      .integer("masterPort", rendezvous.master_port, {.min = 1, .max = 65535})
      .integer("processesPerNode", rendezvous.processes_per_node, {.min = 1, .max = 1024})
      .string("topologyKey", workers.topology_key)
      .string("sharedMemory", workers.shared_memory)
      .raw("template", workers.pod_template)
      .finish();
}

bool all_of(std::string_view text, const char* others) {
  return std::all_of(text.begin(), text.end(), [others](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view(others).find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool ends_well(std::string_view text) {
  return !text.empty() && std::isalnum(static_cast<unsigned char>(text.front())) != 0 &&
         std::isalnum(static_cast<unsigned char>(text.back())) != 0;
}

// The key of a label: a name of at most 63 characters, perhaps with a domain before it.
bool is_label_key(std::string_view key) {
  const auto slash = key.find('/');
  const std::string_view name = slash == std::string_view::npos ? key : key.substr(slash + 1);
  const std::string_view domain = slash == std::string_view::npos ? "a" : key.substr(0, slash);
  const bool lower =
      std::none_of(domain.begin(), domain.end(), [](unsigned char c) { return std::isupper(c) != 0; });
  return name.size() <= 63 && ends_well(name) && all_of(name, "-_.") && domain.size() <= 253 &&
         ends_well(domain) && all_of(domain, "-.") && lower;
}

// 0 workers suspend the job, whatever the bounds are.
Status check_bounds(const Workers& workers) {
  const std::int64_t replicas = workers.replicas;
  if (replicas > 0 && workers.min_replicas && *workers.min_replicas > replicas)
    return invalid_argument(
        fmt::format("spec.workers.minReplicas: {} is more than replicas {}; lower it or raise replicas",
                    *workers.min_replicas, replicas));
  if (workers.max_replicas && replicas > *workers.max_replicas)
    return invalid_argument(
        fmt::format("spec.workers.replicas: {} is more than maxReplicas {}; lower it or raise maxReplicas",
                    replicas, *workers.max_replicas));
  if (workers.min_replicas && workers.max_replicas && *workers.min_replicas > *workers.max_replicas)
    return invalid_argument(
        fmt::format("spec.workers.minReplicas: {} is more than maxReplicas {}; lower it or raise maxReplicas",
                    *workers.min_replicas, *workers.max_replicas));
  return {};
}

Status check_workers(const Workers& workers) {
  MUSTER_TRY(check_bounds(workers));
  if (!workers.topology_key.empty() && !is_label_key(workers.topology_key))
    return invalid_argument(fmt::format(
        "spec.workers.topologyKey: \"{}\" is not the key of a label; use one of the nodes', such as "
        "topology.kubernetes.io/zone",
        workers.topology_key));
  if (workers.shared_memory.empty()) return {};
  const auto quantity = parse_quantity(workers.shared_memory);
  if (quantity && quantity->value >= 1) return {};
  return invalid_argument(fmt::format("spec.workers.sharedMemory: {} is no quantity of bytes, such as 8Gi",
                                      workers.shared_memory));
}

// What is the program's own business, and what only it knows.
Status check_program(const DistributedJobSpec& spec) {
  const Optimizer& told = spec.training->optimizer;
  const Optimizer usual;
  const bool says_nothing = told.name == usual.name && told.learning_rate == usual.learning_rate &&
                            told.momentum == usual.momentum && told.weight_decay == usual.weight_decay;
  if (!says_nothing && spec.synchronization.servers() == 0)
    return invalid_argument(
        "spec.training.optimizer: is the program's own, unless parameter servers make the steps; remove it, "
        "or "
        "write topology: ParameterServer");
  if (spec.synchronization.by_nccl())
    return invalid_argument(
        "spec.synchronization.topology: the GPUs of a program's pod are the program's, and its worker has "
        "none to sum "
        "with; choose another topology than NCCL");
  const auto& gossip = spec.synchronization.gossip;
  if (gossip && gossip->partition.kind != "IID")
    return invalid_argument(fmt::format(
        "spec.synchronization.gossip.partition.kind: {} needs the classes of the examples, which only the "
        "program knows; write IID, or remove it",
        gossip->partition.kind));
  return {};
}

// What has a meaning with spec.training only.
Status check_without_training(const DistributedJobSpec& spec) {
  const Synchronization& synchronization = spec.synchronization;
  if (spec.compression.by_codec() || spec.compression.low_rank > 0)
    return invalid_argument(
        "spec.compression: compresses what Muster's own workers send each other; remove it, or use "
        "spec.training");
  if (spec.workers.min_replicas || spec.workers.max_replicas)
    return invalid_argument(fmt::format(
        "spec.workers.{}: only the workers of spec.training go on without one of them; remove it, or use "
        "spec.training",
        spec.workers.min_replicas ? "minReplicas" : "maxReplicas"));
  if (synchronization.servers() > 0 || synchronization.is_gossip() || synchronization.by_nccl())
    return invalid_argument(
        fmt::format("spec.synchronization.topology: {} is how Muster's own workers meet; remove it, or use "
                    "spec.training",
                    synchronization.topology));
  if (synchronization.local_steps > 1)
    return invalid_argument(
        "spec.synchronization.localSteps: is how Muster's own workers meet; remove it, or use "
        "spec.training");
  if (!spec.security.encrypt_traffic) return {};
  return invalid_argument(
      "spec.security.encryptTraffic: encrypts the connections of Muster's own workers; remove it, or use "
      "spec.training");
}

// And what has one without it only.
Status check_training(const Json& json, const DistributedJobSpec& spec) {
  if (!spec.training) return check_without_training(spec);
  const Synchronization& synchronization = spec.synchronization;
  if (spec.run_policy.restart != "Recreate")
    return invalid_argument(
        "spec.runPolicy.restart: InPlace is how commands of your own start again; a worker of a training is "
        "replaced alone in any case: remove it, or spec.training");
  const bool frames_go = synchronization.topology == "Direct" || synchronization.topology == "Auto" ||
                         synchronization.topology == "ParameterServer";
  if (spec.compression.by_codec() && !frames_go)
    return invalid_argument(fmt::format(
        "spec.synchronization.topology: compressed gradients go Direct or to parameter servers, where they "
        "are "
        "rounded twice; over a {} each worker would round anew: write topology: Direct or Auto, or "
        "ParameterServer, or remove spec.compression",
        spec.synchronization.topology));
  if ((synchronization.servers() > 0 || synchronization.is_gossip()) && spec.compression.low_rank > 0)
    return invalid_argument(fmt::format(
        "spec.compression.lowRank: needs sums of gradients over all workers, which topology {} does not "
        "make; remove it, or choose another topology",
        synchronization.topology));
  if (spec.training->program) MUSTER_TRY(check_program(spec));
  if (synchronization.by_nccl() && spec.security.encrypt_traffic)
    return invalid_argument(
        "spec.security.encryptTraffic: what GPUs send each other by NCCL is not encrypted; remove it, or "
        "choose another "
        "topology");
  if (synchronization.gossip && synchronization.gossip->partition.kind == "Natural" &&
      spec.training->dataset.name != "synthetic")
    return invalid_argument(
        "spec.synchronization.gossip.partition.kind: Natural needs dataset synthetic, whose devices are the "
        "partition; choose another kind");
  if ((synchronization.staleness_aware || synchronization.delay_compensation > 0) &&
      spec.training->optimizer.name != "SGD")
    return invalid_argument(
        fmt::format("spec.synchronization.{}: changes the size of a step, which {} makes of any gradient "
                    "alike; remove it, or "
                    "write optimizer: {{name: SGD}}",
                    synchronization.staleness_aware ? "stalenessAware" : "delayCompensation",
                    spec.training->optimizer.name));
  for (const char* name : {"masterPort", "processesPerNode"})
    if (!member(json, "workers", name).is_null())
      return invalid_argument(fmt::format(
          "spec.workers.{}: only programs of your own read it; remove it, or spec.training", name));
  if (spec.success_policy != "AllWorkers")
    return invalid_argument(
        "spec.successPolicy: a training is done when all of its workers are; remove it, or spec.training");
  return {};
}

}  // namespace

Result<DistributedJobSpec> distributed_job_from_json(const Json& json) {
  DistributedJobSpec spec;
  Fields fields(json, "spec");
  fields.boolean("suspend", spec.suspend)
      .string("managedBy", spec.managed_by)
      .one_of("successPolicy", spec.success_policy, {"AllWorkers", "Rank0"});
  fields.object("workers", [&](const Json& value, const std::string& at) {
    return read_workers(value, at, spec.workers);
  });
  fields.object("scheduling", [&](const Json& value, const std::string& at) {
    return Fields(value, at)
        .one_of("gang", spec.gang, {"Auto", "None", "Native", "SchedulerPlugins", "Volcano"})
        .finish();
  });
  fields.object("training", into(spec.training, training_from_json))
      .object("synchronization", into(spec.synchronization, synchronization_from_json))
      .object("compression", into(spec.compression, compression_from_json))
      .object("security", into(spec.security, security_from_json))
      .object("runPolicy", into(spec.run_policy, job_run_policy_from_json));
  MUSTER_TRY(fields.finish());
  MUSTER_TRY(check_managed_by(spec.managed_by));
  MUSTER_TRY(check_workers(spec.workers));
  MUSTER_TRY(check_training(json, spec));
  return spec;
}

Json distributed_job_for_pods(const Json& spec) {
  Json told = spec;
  for (const char* name : {"suspend", "managedBy", "successPolicy", "scheduling", "workers", "runPolicy"})
    told.erase(name);
  if (const Json& servers = member(told, "synchronization", "parameterServers"); servers.is_object())
    told["synchronization"]["parameterServers"].erase("template");
  Training usual;
  usual.checkpoint = Checkpoint{};
  return without_defaults(told, {{"training", optional_fields(to_json(usual))},
                                 {"synchronization", to_json(Synchronization{})},
                                 {"compression", to_json(Compression{})},
                                 {"security", to_json(Security{})}});
}

}  // namespace muster::spec
