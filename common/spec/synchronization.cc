// common/spec/synchronization.cc: spec.synchronization from and to JSON
#include "common/spec/synchronization.h"

#include <fmt/format.h>

#include "common/spec/into.h"

namespace muster::spec {
namespace {

Status read_servers(const Json& json, const std::string& path, std::optional<ParameterServers>& servers) {
  servers.emplace();
  return Fields(json, path)
      .integer("shards", servers->shards, {.min = 1, .max = kShardsMax})
      .raw("template", servers->pod_template)
      .finish();
}

Status read_gossip(const Json& json, const std::string& path, std::optional<Gossip>& gossip) {
  gossip.emplace();
  return Fields(json, path)
      .one_of("graph", gossip->graph, {"Ring", "Exponential", "RandomPairs"})
      .object("partition", into(gossip->partition, partition_from_json))
      .finish();
}

Status read_outer(const Json& json, const std::string& path, std::optional<Outer>& outer) {
  outer.emplace();
  return Fields(json, path)
      .one_of("optimizer", outer->optimizer, {"Nesterov", "SGD"})
      .number("learningRate", outer->learning_rate, {.min = 1e-6, .max = 100})
      .number("momentum", outer->momentum, {.min = 0, .max = 0.999999})
      .finish();
}

// What has a meaning with several local steps only, and who can make them.
Status check_local_steps(const Synchronization& read, const std::string& path) {
  if (read.outer && read.local_steps == 1)
    return invalid_argument(
        fmt::format("{}.outer: is the step after localSteps of at least 2, and localSteps is 1; raise that, "
                    "or remove outer",
                    path));
  if (read.local_steps == 1) return {};
  if (read.topology != "ParameterServer" && !read.is_gossip() && !read.by_nccl()) return {};
  return invalid_argument(
      fmt::format("{}.localSteps: topology {} exchanges in every step; remove it, or choose another topology",
                  path, read.topology));
}

// What has a meaning with parameter servers, or asynchronous updates, only.
Status check_updates(const Synchronization& read, const std::string& path) {
  const auto wrong = [&](std::string_view what) {
    return invalid_argument(fmt::format("{}.{}", path, what));
  };
  const bool servers = read.topology == "ParameterServer";
  if (read.is_asynchronous() && !servers)
    return wrong(
        fmt::format("updates: Asynchronous updates need somebody who takes them one by one: write topology: "
                    "ParameterServer "
                    "instead of {}, or updates: Synchronous",
                    read.topology));
  if (read.parameter_servers && !servers)
    return wrong(
        fmt::format("parameterServers: topology {} has none; remove it, or write topology: ParameterServer",
                    read.topology));
  if (read.gossip && !read.is_gossip())
    return wrong(fmt::format(
        "gossip: is how topology Gossip meets, not {}; remove it, or write topology: Gossip", read.topology));
  if (read.is_asynchronous()) return {};
  for (const auto& [name, given] : {std::pair("maxStaleness", read.max_staleness.has_value()),
                                    std::pair("stalenessAware", read.staleness_aware),
                                    std::pair("delayCompensation", read.delay_compensation != 0)})
    if (given)
      return wrong(fmt::format(
          "{}: Synchronous updates are never stale; remove it, or write updates: Asynchronous", name));
  return {};
}

}  // namespace

Result<Synchronization> synchronization_from_json(const Json& json, const std::string& path) {
  Synchronization synchronization;
  MUSTER_TRY(Fields(json, path)
                 .one_of("topology", synchronization.topology,
                         {"Auto", "Ring", "HalvingDoubling", "Tree", "AllToAll", "Direct", "NCCL",
                          "ParameterServer", "Gossip"})
                 .one_of("updates", synchronization.updates, {"Synchronous", "Asynchronous"})
                 .object("parameterServers",
                         [&](const Json& value, const std::string& at) {
                           return read_servers(value, at, synchronization.parameter_servers);
                         })
                 .object("gossip",
                         [&](const Json& value, const std::string& at) {
                           return read_gossip(value, at, synchronization.gossip);
                         })
                 .integer("localSteps", synchronization.local_steps, {.min = 1, .max = kLocalStepsMax})
                 .object("outer",
                         [&](const Json& value, const std::string& at) {
                           return read_outer(value, at, synchronization.outer);
                         })
                 .integer("maxStaleness", synchronization.max_staleness, {.min = 0, .max = 1'000'000})
                 .boolean("stalenessAware", synchronization.staleness_aware)
                 .number("delayCompensation", synchronization.delay_compensation, {.min = 0, .max = 1000})
                 .integer("timeoutSeconds", synchronization.timeout_seconds, {.min = 1, .max = 3600})
                 .integer("peerTimeoutSeconds", synchronization.peer_timeout_seconds, {.min = 1, .max = 3600})
                 .finish());
  if (synchronization.peer_timeout_seconds > synchronization.timeout_seconds) {
    return invalid_argument(
        fmt::format("{0}.peerTimeoutSeconds: is {1}, but {0}.timeoutSeconds, after which any rank that does "
                    "not come to an "
                    "exchange is lost, is {2}; lower the first or raise the second",
                    path, synchronization.peer_timeout_seconds, synchronization.timeout_seconds));
  }
  MUSTER_TRY(check_local_steps(synchronization, path));
  MUSTER_TRY(check_updates(synchronization, path));
  return synchronization;
}

Json to_json(const Synchronization& synchronization) {
  Json json{{"topology", synchronization.topology},
            {"updates", synchronization.updates},
            {"localSteps", synchronization.local_steps},
            {"stalenessAware", synchronization.staleness_aware},
            {"delayCompensation", synchronization.delay_compensation},
            {"timeoutSeconds", synchronization.timeout_seconds},
            {"peerTimeoutSeconds", synchronization.peer_timeout_seconds}};
  if (synchronization.max_staleness) json["maxStaleness"] = *synchronization.max_staleness;
  if (const auto& servers = synchronization.parameter_servers)
    json["parameterServers"] = {{"shards", servers->shards}};
  if (const auto& gossip = synchronization.gossip)
    json["gossip"] = {{"graph", gossip->graph}, {"partition", to_json(gossip->partition)}};
  if (const auto& outer = synchronization.outer) {
    Json& told = json["outer"] = {{"optimizer", outer->optimizer}};
    if (outer->learning_rate) told["learningRate"] = *outer->learning_rate;
    if (outer->momentum) told["momentum"] = *outer->momentum;
  }
  return json;
}

}  // namespace muster::spec
