#pragma once  // local/api/builtin_checks.h: what the checks of built-in kinds share (private to builtin_*.cc)
#include <string>

#include "local/api/kind_rules.h"

namespace muster::local {

inline constexpr const char* kPortRange = "must be between 1 and 65535, inclusive";

// "Invalid value: SHOWN: WHY", for values that the real server prints as Go structs.
[[nodiscard]] FieldError go_invalid(std::string path, const std::string& shown, const std::string& why);
[[nodiscard]] std::string go_strings(const Json& list);    // []string{"a", "b"}
[[nodiscard]] std::string go_string_map(const Json& map);  // map[string]string{"a":"b"}
[[nodiscard]] bool is_port(const Json& port);

// Roles, bindings, budgets, network policies, claims, priority classes, quotas
// (builtin_policies.cc).
void validate_policies(const Kind& kind, const Json& object, const Json* old, FieldErrors& errors);
// Deployments and the like, jobs (builtin_workloads.cc).
void validate_workload(const Kind& kind, const Json& object, const Json* old, FieldErrors& errors);
// A pod's spec at `root` (builtin_pods.cc).
void validate_pod_spec(const Json& spec, const std::string& root, FieldErrors& errors);
// `binding`: the update gives the pod its node.
void validate_pod_update(const Json& pod, const Json& old, bool binding, FieldErrors& errors);

}  // namespace muster::local
