#pragma once  // operator/core/assignment.h: what a pod is told: a common part, one copy a pass, and its own
#include "operator/core/pass.h"

namespace muster::op {

// For pods of this object in its present membership, which get its spec in the form `for_pods`; the role is
// to be filled in.
[[nodiscard]] control::v1::Assignment assignment_to(const Pass& pass, const std::string& for_pods);
// The whole of it, as the pod gets it.
[[nodiscard]] control::v1::Assignment assignment_of(const ConfigurePod& call);

}  // namespace muster::op
