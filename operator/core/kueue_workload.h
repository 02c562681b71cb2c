#pragma once  // operator/core/kueue_workload.h: a Workload of Kueue: what it asks for, what it says, how its
              // status is told
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "operator/core/kueue.h"

namespace muster::op {

// Of status.conditions, of any object; null: there is none of that type.
[[nodiscard]] const Json* workload_condition(const Json& workload, std::string_view type);
[[nodiscard]] bool holds(const Json& workload, std::string_view type);  // status True
[[nodiscard]] std::string message_of(const Json& workload, std::string_view type);

// In version v1beta2 or v1beta1, whichever is served. Templates hold what quota and flavors are judged by,
// and nothing that another release of the operator would fill in otherwise.
[[nodiscard]] CreateChild workload_of(const Pass& pass, const std::vector<PodSet>& sets);
// It asks for something else than the object does now, or is finished.
[[nodiscard]] bool is_outdated(const Pass& pass, const Json& workload, const std::vector<PodSet>& sets);
[[nodiscard]] std::set<std::string> flavors_of(const Json& workload);  // of its admission
[[nodiscard]] std::int64_t pods_of(const Json& workload);              // of all its pod sets

// A condition in its new state; the time of the last change stays while `status` does.
[[nodiscard]] Json changed(const Json& workload, const char* type, bool status, const std::string& reason,
                           const std::string& message, WallTime now);
// One write of its status: `conditions` take the place of those of their types, `status` has other fields.
void patch_workload(Pass& pass, const Json& workload, const std::vector<Json>& conditions, Json status);

}  // namespace muster::op
