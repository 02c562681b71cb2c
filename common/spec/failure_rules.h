#pragma once  // common/spec/failure_rules.h: spec.runPolicy.failurePolicy: what the end of a pod means, by
              // rule
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/json/fields.h"

namespace muster::spec {

enum class FailureAction {
  kFailJob,     // the object fails at once
  kRestartJob,  // all pods start anew; counts towards maxRestarts
  kRestartPod,  // that pod alone starts anew; counts towards maxRestarts
  kIgnore,      // as kRestartJob (a client pod: as kRestartPod), without counting
};

struct OnExitCodes {
  std::string container_name;  // empty: the container that carries the role
  bool in = true;              // operator: In | NotIn
  std::vector<std::int64_t> values;
  friend bool operator==(const OnExitCodes&, const OnExitCodes&) = default;
};

struct OnPodCondition {
  std::string type;
  std::string status = "True";
  friend bool operator==(const OnPodCondition&, const OnPodCondition&) = default;
};

// As in the podFailurePolicy of batch/v1. Exactly one of the three requirements is there.
struct FailureRule {
  FailureAction action = FailureAction::kFailJob;
  std::optional<OnExitCodes> on_exit_codes;
  std::vector<std::string> on_reasons;  // of the pod or of the container that ended: Evicted, OOMKilled, ...
  std::vector<OnPodCondition> on_pod_conditions;
  friend bool operator==(const FailureRule&, const FailureRule&) = default;
};

inline constexpr std::size_t kFailureRulesMax = 20;

// `json`: the object failurePolicy. Errors: kInvalidArgument with the field's path.
[[nodiscard]] Result<std::vector<FailureRule>> failure_rules_from_json(const Json& json,
                                                                       const std::string& path);

}  // namespace muster::spec
