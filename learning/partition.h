#pragma once  // learning/partition.h: which training examples belong to which client
#include <cstdint>
#include <vector>

#include "common/base/result.h"
#include "common/spec/federation.h"
#include "learning/dataset.h"

namespace muster::learning {

// parts[c] = row indices of client c; every client gets at least one example, every example goes to
// exactly one client (remainders are spread over the first clients). Pure function of the arguments.
//   IID: a seeded shuffle cut in equal parts. LabelShards: sorted by label, cut in clients * shards
//   equal shards dealt at random (McMahan 2017, section 3). Dirichlet: each client's label
//   proportions ~ Dirichlet(alpha) (Hsu 2019). Natural: the dataset's own devices.
// Errors: kInvalidArgument when there are fewer examples than clients (or shards), or no devices.
[[nodiscard]] Result<std::vector<std::vector<std::int64_t>>> partition_examples(
    const Dataset& data, const spec::Partition& partition, std::int64_t clients, std::uint64_t seed);

}  // namespace muster::learning
