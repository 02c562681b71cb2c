// common/spec/partition.cc: a partition from and to JSON
#include "common/spec/partition.h"

namespace muster::spec {

Result<Partition> partition_from_json(const Json& json, const std::string& path) {
  Partition partition;
  MUSTER_TRY(Fields(json, path)
                 .one_of("kind", partition.kind, {"IID", "LabelShards", "Dirichlet", "Natural"})
                 .integer("shardsPerClient", partition.shards_per_client, {.min = 1, .max = 1000})
                 .number("alpha", partition.alpha, {.min = 1e-3, .max = 1e6})
                 .finish());
  return partition;
}

Json to_json(const Partition& partition) {
  return {
      {"kind", partition.kind}, {"shardsPerClient", partition.shards_per_client}, {"alpha", partition.alpha}};
}

}  // namespace muster::spec
