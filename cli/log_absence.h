#pragma once  // cli/log_absence.h: why a pod whose log is asked for is not there. Pure
#include <optional>
#include <string>

#include "common/json/fields.h"

namespace muster::cli {

struct AskedPod {
  std::optional<std::int64_t> rank;
  std::string role;  // empty: workers, or the aggregator
};

// False: no pod of this object can ever be that one.
[[nodiscard]] bool may_have_pod(const Json& job, const AskedPod& asked);

// Of an object none of whose pods is the one that was asked for: "ring has no pod of rank 2 yet:
// Unschedulable: ...".
[[nodiscard]] std::string why_no_pods(const Json& job, const AskedPod& asked);

}  // namespace muster::cli
