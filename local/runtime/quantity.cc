// local/runtime/quantity.cc: reading quantities, adding up what pods request
#include "local/runtime/quantity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "common/base/quantity.h"
#include "local/runtime/json_access.h"

namespace muster::local {
namespace {

constexpr double kLargest = 9.2e18;

// Rounded up; what is too large for the type is as large as it can be.
std::int64_t milli_of(double number) {
  return static_cast<std::int64_t>(std::clamp(std::ceil(number * 1000.0 - 1e-6), -kLargest, kLargest));
}

std::int64_t sum_of(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? static_cast<std::int64_t>(kLargest) : sum;
}

bool is_sidecar(const Json& container) { return text(member(container, "restartPolicy")) == "Always"; }

// What `container` requests; a limit without a request is a request.
std::int64_t request_of(const Json& container, const std::string& name) {
  const Json& resources = member(container, "resources");
  const Json& request = member(member(resources, "requests"), name);
  return quantity_milli(request.is_null() ? member(member(resources, "limits"), name) : request);
}

}  // namespace

Result<std::int64_t> parse_quantity_milli(std::string_view quantity) {
  const auto parsed = parse_quantity(quantity);
  if (!parsed) {
    return invalid_argument(
        fmt::format("'{}' is not a quantity; write for example 500m, 2 or 64Mi", quantity));
  }
  return milli_of(static_cast<double>(parsed->value));
}

std::int64_t quantity_milli(const Json& value) {
  if (value.is_number()) return milli_of(value.get<double>());
  if (!value.is_string()) return 0;
  return parse_quantity_milli(value.get_ref<const std::string&>()).value_or(0);
}

std::int64_t pod_request_milli(const Json& pod, std::string_view name) {
  const std::string key(name);
  const Json& spec = member(pod, "spec");
  std::int64_t together = 0;
  for (const Json& container : member(spec, "containers"))
    together = sum_of(together, request_of(container, key));
  std::int64_t sidecars = 0;
  std::int64_t largest = 0;
  for (const Json& container : member(spec, "initContainers")) {
    const std::int64_t request = request_of(container, key);
    if (is_sidecar(container)) sidecars = sum_of(sidecars, request);
    largest = std::max(largest, is_sidecar(container) ? sidecars : sum_of(sidecars, request));
  }
  return std::max(sum_of(together, sidecars), largest);
}

std::string qos_class(const Json& pod) {
  bool any = false;
  bool guaranteed = true;
  for (const char* group : {"containers", "initContainers"}) {
    for (const Json& container : member(member(pod, "spec"), group)) {
      const Json& resources = member(container, "resources");
      for (const char* name : {"cpu", "memory"}) {
        const std::int64_t limit = quantity_milli(member(member(resources, "limits"), name));
        const std::int64_t request = request_of(container, name);
        any = any || limit > 0 || request > 0;
        guaranteed = guaranteed && limit > 0 && request == limit;
      }
    }
  }
  if (!any) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}

}  // namespace muster::local
