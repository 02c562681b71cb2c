#pragma once  // operator/core/roster.h: the roster of a training as its members are told it
#include <optional>
#include <vector>

#include "operator/core/pass.h"

namespace muster::op {

using Roster = google::protobuf::RepeatedPtrField<control::v1::Member>;

// Rank, pod and data address of each member; nullopt while one has no address, or no pod.
[[nodiscard]] std::optional<Roster> roster_of(const std::vector<api::RosterMember>& members,
                                              const std::vector<const Pod*>& workers);

// Appends those in this order; false: one has no address yet.
[[nodiscard]] bool add_servers(Roster& roster, const std::vector<const Pod*>& servers);

}  // namespace muster::op
