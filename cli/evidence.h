#pragma once  // cli/evidence.h: what the cluster holds besides an object itself: its pods, and events about
              // both
#include <vector>

#include "kube/client.h"

namespace muster::cli {

// The pods of a DistributedJob or FederatedRound.
[[nodiscard]] Result<std::vector<Json>> pods_of(kube::Client& client, const Json& object);

// Those of `events` that are about the object or one of its pods.
[[nodiscard]] std::vector<Json> events_about(const Json& object, const std::vector<Json>& pods,
                                             std::vector<Json> events);

}  // namespace muster::cli
