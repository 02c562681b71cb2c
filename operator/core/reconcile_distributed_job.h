#pragma once  // operator/core/reconcile_distributed_job.h: what to do next for one DistributedJob
#include "operator/core/action.h"
#include "operator/core/observed.h"

namespace muster::op {

// Moves one job a step closer to its spec, judging by `seen` alone.
//
// Pure and total: no I/O, no clock, no throw. A problem with the job becomes a condition in the status
// write, because its owner reads conditions and never our log.
// Idempotent: a snapshot in which every action has landed yields no actions.
// The applier stops at the first action that fails (but for ConfigurePod and EmitEvent); the next pass
// starts from a fresh snapshot.
// Cost: O(p log p) time and O(p) memory for p pods.
[[nodiscard]] Decision reconcile(const ObservedJob& seen);

}  // namespace muster::op
