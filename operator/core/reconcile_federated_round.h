#pragma once  // operator/core/reconcile_federated_round.h: what to do next for one FederatedRound
#include "operator/core/action.h"
#include "operator/core/observed.h"

namespace muster::op {

// Moves one federation a step closer to its spec; the contract is that of reconcile(ObservedJob).
// The aggregator restarts as incarnations and counts, and its clients with it, as they know its address only;
// a lost client pod is replaced alone and does not count.
[[nodiscard]] Decision reconcile(const ObservedRound& seen);

}  // namespace muster::op
