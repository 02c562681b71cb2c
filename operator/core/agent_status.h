#pragma once  // operator/core/agent_status.h: what a pod tells of itself, made fit for the object's status
#include <string>
#include <string_view>

#include "pod/status_limits.h"
#include "proto/control.pb.h"

namespace muster::op {

// Words of a pod for conditions, events and the log: UTF-8 of at most `bytes_max` bytes, on one line.
[[nodiscard]] std::string told_text(std::string_view text, std::size_t bytes_max);

// A pod runs what its template names, so what it tells is a claim. Texts are clipped and made printable,
// figures that no training has (below 0, past 2^53, an accuracy above 1, a digest that is none) are left out,
// lists are cut to their bounds. A warning, the first of the list, names what was left out. Figures that are
// not finite stay: a training that diverges has them.
[[nodiscard]] control::v1::AgentStatus checked(control::v1::AgentStatus told);

}  // namespace muster::op
