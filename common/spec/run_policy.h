#pragma once  // common/spec/run_policy.h: spec.runPolicy, the same in both kinds
#include <cstdint>
#include <optional>
#include <string>

#include "common/json/fields.h"

namespace muster::spec {

struct RunPolicy {
  std::int64_t max_restarts = 3;
  std::optional<std::int64_t> active_deadline_seconds;
  std::optional<std::int64_t> ttl_seconds_after_finished;
  std::string clean_pod_policy = "Running";  // None | Running | All
  friend bool operator==(const RunPolicy&, const RunPolicy&) = default;
};

[[nodiscard]] Result<RunPolicy> run_policy_from_json(const Json& json, const std::string& path);

}  // namespace muster::spec
