#pragma once  // local/workloads/replica_set.h: how many pods a ReplicaSet lacks, and which are too many. Pure
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/json/fields.h"

namespace muster::local {

struct ReplicaSetPlan {
  std::vector<std::string> adopt;   // names of pods without a controller that become its own
  std::int64_t create = 0;          // pods to create
  std::vector<std::string> remove;  // names of pods that are too many, the least useful first
  Json status;                      // whole; equal to the stored one when there is no news
  std::optional<WallTime> again;    // when time alone makes a pod available (minReadySeconds)
};

// `pods`: those of its namespace that its selector matches. `failure`: why its last pod could not be created,
// or "". A pod that ended, or that is being deleted, counts no more. Idempotent once the plan is carried out.
[[nodiscard]] ReplicaSetPlan plan_replica_set(const Json& replica_set, const std::vector<Json>& pods,
                                              const std::string& failure, WallTime now);

// A new pod of it, by its template.
[[nodiscard]] Json pod_of(const Json& replica_set);

}  // namespace muster::local
