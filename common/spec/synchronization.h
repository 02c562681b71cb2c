#pragma once  // common/spec/synchronization.h: spec.synchronization as typed values
#include <cstdint>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/json/fields.h"
#include "common/spec/partition.h"

namespace muster::spec {

inline constexpr std::int64_t kShardsMax = 64;
inline constexpr std::int64_t kLocalStepsMax = 1'000'000;

struct ParameterServers {   // DistributedJob spec.synchronization.parameterServers
  std::int64_t shards = 1;  // pods, each with its part of the parameters
  Json pod_template;        // a PodTemplateSpec, as the user wrote it; null: none
  friend bool operator==(const ParameterServers&, const ParameterServers&) = default;
};

struct Gossip {                // DistributedJob spec.synchronization.gossip
  std::string graph = "Ring";  // Ring | Exponential | RandomPairs
  Partition partition;         // each peer has its part of the training examples
  friend bool operator==(const Gossip&, const Gossip&) = default;
};

// DistributedJob spec.synchronization.outer: the step on the mean of what the workers' local steps changed.
// learning/outer_step.h
struct Outer {
  std::string optimizer = "Nesterov";  // Nesterov | SGD
  std::optional<double> learning_rate;
  std::optional<double> momentum;
  // Absent: 0.7 and 0.9, those of DiLoCo; of SGD 1 and 0: the plain mean of the workers' models.
  [[nodiscard]] double rate() const { return learning_rate.value_or(optimizer == "SGD" ? 1.0 : 0.7); }
  [[nodiscard]] double beta() const { return momentum.value_or(optimizer == "SGD" ? 0.0 : 0.9); }
  friend bool operator==(const Outer&, const Outer&) = default;
};

struct Synchronization {                // DistributedJob spec.synchronization
  std::string topology = "Ring";        // Auto: measured, and the fastest taken
  std::string updates = "Synchronous";  // Synchronous | Asynchronous
  // With topology ParameterServer; absent: one.
  std::optional<ParameterServers> parameter_servers;
  std::optional<Gossip> gossip;  // with topology Gossip
  std::int64_t local_steps = 1;  // that each worker makes by itself between two exchanges
  std::optional<Outer> outer;    // with several of them; absent: its defaults
  // Of Asynchronous updates.
  std::optional<std::int64_t>
      max_staleness;                      // of a worker's updates beyond the slowest's; absent: any number
  bool staleness_aware = false;           // an update weighs 1 / max(1, its staleness)
  double delay_compensation = 0;          // lambda of DC-ASGD
  std::int64_t timeout_seconds = 60;      // for one collective call: a rank that does not come to it is lost
  std::int64_t peer_timeout_seconds = 1;  // without a sign of life: a rank is lost; at most timeout_seconds
  [[nodiscard]] bool is_gossip() const { return topology == "Gossip"; }
  [[nodiscard]] bool by_nccl() const { return topology == "NCCL"; }  // the ranks' GPUs sum
  [[nodiscard]] bool is_asynchronous() const { return updates == "Asynchronous"; }
  [[nodiscard]] std::int64_t servers() const {
    if (topology != "ParameterServer") return 0;
    return parameter_servers ? parameter_servers->shards : 1;
  }
  friend bool operator==(const Synchronization&, const Synchronization&) = default;
};

// Strict: unknown fields, wrong types and values out of range are errors with the field's path.
[[nodiscard]] Result<Synchronization> synchronization_from_json(
    const Json& json, const std::string& path = "spec.synchronization");
[[nodiscard]] Json to_json(const Synchronization& synchronization);

}  // namespace muster::spec
