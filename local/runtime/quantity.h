#pragma once  // local/runtime/quantity.h: Kubernetes quantities ("500m", "64Mi", "1e3") as numbers
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::local {

// In thousandths, rounded up: "500m" is 500, "64Mi" is 64 * 2^20 * 1000. Saturates at the largest int64.
// kInvalidArgument: not a quantity (names it).
[[nodiscard]] Result<std::int64_t> parse_quantity_milli(std::string_view quantity);

// The quantity of a JSON string or number; 0 for null or nonsense, which the API server has refused.
[[nodiscard]] std::int64_t quantity_milli(const Json& value);

// What a pod asks of its node in resource `name`: the sum over its containers, or the largest init container
// if that is more (sidecars count with the containers). In thousandths.
[[nodiscard]] std::int64_t pod_request_milli(const Json& pod, std::string_view name);

// "Guaranteed", "Burstable" or "BestEffort".
[[nodiscard]] std::string qos_class(const Json& pod);

}  // namespace muster::local
