#pragma once  // operator/core/failure_policy.h: what the end of a pod means for its job
#include <string>
#include <vector>

#include "operator/core/observed.h"

namespace muster::op {

enum class PodFate {
  kAlive,  // pending or running
  kSucceeded,
  kFailed,     // the program failed: restart, counted
  kDisrupted,  // evicted, preempted, deleted, its node lost: restart, not counted
};

// Ordered rules, the first that matches wins: success, disruption, failure.
[[nodiscard]] PodFate fate_of(const Pod& pod);

// What Muster's own programs say by their exit codes (ARCHITECTURE.md, "The pod contract"). A user's program
// and a sidecar mean what they like by the same numbers: ask only of pods whose image is ours, or that have
// Muster's worker beside the program (Pod::code_is_ours).
[[nodiscard]] bool cannot_work(
    const Pod& pod);  // 65, 74: a restart would meet the same, whatever else happened
[[nodiscard]] bool lost_a_peer(const Pod& pod);  // 75: a consequence; the cause is seldom this pod

// The live ones of `pods` that stand still by the last words of their peers; `hung`: see Standstill.
struct StillPod {
  const Pod* pod;
  bool hung;
};
[[nodiscard]] std::vector<StillPod> standing_still(const std::vector<const Pod*>& pods);

// One sentence on why the pod ended: "worker 2 (digits-worker-2) exited with code 137 (SIGKILL): last words".
[[nodiscard]] std::string end_of(const Pod& pod);

// True when a terminating pod should have been gone for a minute: its node is slow, or is not there to
// confirm.
[[nodiscard]] bool overdue(const Pod& pod, WallTime now);
// True when it is overdue and the control plane says that its node is lost. Only then is grace 0 safe;
// otherwise two pods could run as one.
[[nodiscard]] bool force_delete_due(const Pod& pod, const Observed& seen);

}  // namespace muster::op
