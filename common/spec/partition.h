#pragma once  // common/spec/partition.h: how training data is divided among those who train on parts of it
#include <cstdint>
#include <string>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::spec {

struct Partition {           // FederatedRound spec.clients.partition, DistributedJob
                             // spec.synchronization.gossip.partition
  std::string kind = "IID";  // IID | LabelShards | Dirichlet | Natural (synthetic data: one device a client)
  std::int64_t shards_per_client = 2;
  double alpha = 0.5;  // Dirichlet
  friend bool operator==(const Partition&, const Partition&) = default;
};

[[nodiscard]] Result<Partition> partition_from_json(const Json& json, const std::string& path);
[[nodiscard]] Json to_json(const Partition& partition);

}  // namespace muster::spec
