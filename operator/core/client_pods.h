#pragma once  // operator/core/client_pods.h: the client pods of a FederatedRound: each is replaced alone,
              // without counting
#include "operator/core/incarnation.h"
#include "operator/core/incarnation_image.h"

namespace muster::op {

// Notes failed client pods in status.podAttempts, as the restart counter does for incarnations: a pod of
// an older attempt is deleted and recreated in later passes. One that cannot work, or has ended with 0
// without the evidence of a training, stays as it is: its clients are away (condition ClientsAway) until
// somebody deletes it; one that has failed more than runPolicy.maxRestarts times with no round committed
// meanwhile is tried again, but not counted on. When fewer clients than cohort.minimum are left, the
// federation fails. True when the pass is over.
[[nodiscard]] bool judge_clients(Pass& pass, const api::FederatedRoundSpec& spec, const Incarnation& clients);

// A round was committed: what failed before it is no longer held against any client pod.
void forget_failures(Pass& pass);

// Deletes pods of older attempts and of older incarnations: those know another aggregator's address.
void remove_outdated_clients(Pass& pass, const Incarnation& clients);

[[nodiscard]] Json client_manifest(const Pass& pass, const api::FederatedRoundSpec& spec,
                                   const RoundImages& images, std::int64_t index);

// Creates the missing ones: the first replacement at once, the n-th after 10 s * 2^(n-2), at most 5 min.
void create_clients(Pass& pass, const api::FederatedRoundSpec& spec, const RoundImages& images,
                    const Incarnation& clients);

}  // namespace muster::op
