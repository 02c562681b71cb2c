#pragma once  // operator/core/client_pods.h: the client pods of a FederatedRound: each is replaced alone,
              // without counting
#include "operator/core/incarnation.h"

namespace muster::op {

// Notes failed client pods in status.clientAttempts, as the restart counter does for incarnations: a pod of
// an older attempt is deleted and recreated in later passes. One that cannot work stays as it is: its clients
// are away (condition ClientsAway) until somebody deletes it. Only when fewer clients than cohort.minimum are
// left does the federation fail. True when the pass is over.
[[nodiscard]] bool judge_clients(Pass& pass, const api::FederatedRoundSpec& spec, const Incarnation& clients);

// Deletes pods of older attempts and of older incarnations: those know another aggregator's address.
void remove_outdated_clients(Pass& pass, const Incarnation& clients);

inline constexpr const char* kClientTemplate = "spec.clients.template";
[[nodiscard]] Json client_manifest(const Pass& pass, const api::FederatedRoundSpec& spec, std::int64_t index);

// Creates the missing ones: the first replacement at once, the n-th after 10 s * 2^(n-2), at most 5 min.
void create_clients(Pass& pass, const api::FederatedRoundSpec& spec, const Incarnation& clients);

}  // namespace muster::op
