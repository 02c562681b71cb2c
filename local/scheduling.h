#pragma once  // local/scheduling.h: does a pod fit on a node? Pure
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/json/fields.h"

namespace muster::local {

// What is left of `node`'s allocatable resources beside `pods`, in thousandths, by resource. Pods that ended,
// or that are bound elsewhere, take nothing.
[[nodiscard]] std::map<std::string, std::int64_t> free_resources(const Json& node,
                                                                 const std::vector<Json>& pods);

// Why `pod` cannot go to `node` with `free` left, in the words of the real scheduler ("Insufficient cpu");
// empty if it can. Looks at requests, nodeSelector, required node affinity and cordons.
[[nodiscard]] std::vector<std::string> obstacles(const Json& pod, const Json& node,
                                                 const std::map<std::string, std::int64_t>& free);

// "0/1 nodes are available: 1 Insufficient cpu. preemption: ..."
[[nodiscard]] std::string unschedulable_message(const std::vector<std::string>& obstacles);

// True if this scheduler is to place the pod: not bound, not going, no gates, schedulerName ours.
[[nodiscard]] bool wants_scheduling(const Json& pod);

// True if the pod is bound to `node` and has not ended.
[[nodiscard]] bool holds_resources(const Json& pod, const std::string& node);

// Takes what `pod` requests out of `free`.
void take_resources(const Json& pod, std::map<std::string, std::int64_t>& free);

}  // namespace muster::local
