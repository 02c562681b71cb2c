#pragma once  // operator/core/unscheduled.h: pods of which no scheduler has said a word
#include <string>

#include "common/json/fields.h"

namespace muster::op {

// Reason of such a pod. It is told after a while only: a scheduler may be about to look.
inline constexpr const char* kWaitingForScheduler = "WaitingForScheduler";

// "no scheduler has said anything of it: does scheduler x run, and is there ResourceClaimTemplate y?" of a v1
// Pod without a node and without condition PodScheduled, for that is all that can be seen of a claim that was
// never made. Empty: of any other.
[[nodiscard]] std::string words_on_silence(const Json& pod);

}  // namespace muster::op
