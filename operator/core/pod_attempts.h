#pragma once  // operator/core/pod_attempts.h: pods that are replaced alone, within their incarnation
#include <cstdint>
#include <vector>

#include "operator/core/pass.h"

namespace muster::op {

// status.podAttempts tells how often the pod of an index was replaced; the pods carry their attempt as an
// annotation. Noted first and acted upon in later passes, as incarnations are: a crash in between is
// harmless.
[[nodiscard]] std::int64_t attempts(const api::JobStatus& status, std::int64_t index);  // 0: never replaced

// One more attempt for the index of `pod`. Returns how often it has failed in a row, with this time if
// `failed`.
std::int64_t count_attempt(Pass& pass, const Pod& pod, bool failed);

// Not yet time to create the replacement of `index`; the pass then looks again at that time. The first is
// created at once, the n-th in a row after 10 s * 2^(n-2), at most 5 min.
[[nodiscard]] bool is_held_back(Pass& pass, std::int64_t index);

// Each of `pods` that avoids_in_vain is to start anew, alone. True when there are some: the pass is over.
[[nodiscard]] bool replace_waiting(Pass& pass, const std::vector<const Pod*>& pods);

// `pod` is of an earlier attempt than the status knows: judged before, its replacement is under way.
[[nodiscard]] bool is_replaced(const api::JobStatus& status, const Pod& pod);

}  // namespace muster::op
