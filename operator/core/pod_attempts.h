#pragma once  // operator/core/pod_attempts.h: pods that are replaced alone, within their incarnation
#include <cstdint>
#include <string>
#include <vector>

#include "operator/core/pass.h"

namespace muster::op {

// status.podAttempts, and serverAttempts of parameter servers, tell how often the pod of an index was
// replaced; the pods carry their attempt as an annotation. Noted first and acted upon in later passes, as
// incarnations are: a crash in between is harmless.
[[nodiscard]] std::int64_t attempts(const api::JobStatus& status, const std::string& role,
                                    std::int64_t index);  // 0: never replaced
// A failure by the cause of another of the same role, which has been counted: of a pod that was there then.
[[nodiscard]] bool has_been_counted(const Pass& pass, const Pod& pod);

// One more attempt for the index of `pod`. Returns how often it has failed in a row, with this time if
// `failed`.
std::int64_t count_attempt(Pass& pass, const Pod& pod, bool failed);

// Not yet time to create the replacement of `index`; the pass then looks again at that time. The first is
// created at once, the n-th in a row after 10 s * 2^(n-2), at most 5 min.
[[nodiscard]] bool is_held_back(Pass& pass, const std::string& role, std::int64_t index);

// Each of `pods` that avoids_in_vain is to start anew, alone. True when there are some: the pass is over.
[[nodiscard]] bool replace_waiting(Pass& pass, const std::vector<const Pod*>& pods);

// `pod` is of an earlier attempt than the status knows: judged before, its replacement is under way.
[[nodiscard]] bool is_replaced(const api::JobStatus& status, const Pod& pod);

}  // namespace muster::op
