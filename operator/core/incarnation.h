#pragma once  // operator/core/incarnation.h: which pods belong to the present incarnation, which
              // must go
#include <vector>

#include "operator/core/pass.h"

namespace muster::op {

struct Incarnation {
  std::vector<const Pod*> current;  // of the status' incarnation, sorted by index
  std::vector<const Pod*> older;
  bool stale = false;  // a pod is of a newer incarnation than the status: the snapshot mixes two instants
};

// Sorts the pods of `role` by incarnation.
[[nodiscard]] Incarnation incarnation_of(const std::vector<Pod>& pods, const std::string& role,
                                         std::int64_t number);

// status.succeededRanks: a worker that is done stays done, though its pod may be deleted.
[[nodiscard]] bool is_done(const api::JobStatus& status, std::int64_t rank);
// How many are done without a pod in `current`.
[[nodiscard]] std::int64_t done_and_gone(const api::JobStatus& status,
                                         const std::vector<const Pod*>& current);

// Deletes a pod unless that is under way already; one whose node is lost is deleted by force, or looked at
// again. `grace_seconds`: absent: the pod's own.
void remove_pod(Pass& pass, const Pod& pod, std::optional<std::int64_t> grace_seconds = {});
// Deletes the pods of older incarnations; those that stand still, by the words of their peers, first and
// soon.
void remove_older(Pass& pass, const Incarnation& members);

// True when a create has met an obstacle, so that nothing is created for now; tells it in one event, and
// tell_readiness in condition PodsReady. `named`: the pods find each other by names, which a Service gives.
[[nodiscard]] bool creation_blocked(Pass& pass, bool named);

// Creates a pod of `role`, whose template stands at `part` of the object: where the queue has admitted it,
// and on no node that is broken.
void create_pod(Pass& pass, const std::string& role, const char* part, Json manifest);

// Sets AssignmentRejected while the Agent of a live pod will not take its assignment, however often it is
// asked.
void tell_refusals(Pass& pass);

// Sets Running, PodsReady, Restarting, phase and the ready counts from the pods that should exist.
void tell_readiness(Pass& pass, const std::vector<const Pod*>& pods, std::int64_t wanted, bool running,
                    bool named);

}  // namespace muster::op
