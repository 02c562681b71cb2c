#pragma once  // operator/core/roster.h: who is a member of a training: rank -> pod and data address
#include <optional>
#include <vector>

#include "operator/core/pass.h"

namespace muster::op {

using Roster = google::protobuf::RepeatedPtrField<control::v1::Member>;

// The roster of the pods of one incarnation, one rank each in order of index; nullopt until every pod has an
// address and its Agent answers, or has done its part.
[[nodiscard]] std::optional<Roster> roster_of(const Observed& seen, const std::vector<const Pod*>& workers);

}  // namespace muster::op
