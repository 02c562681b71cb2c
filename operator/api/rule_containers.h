#pragma once  // operator/api/rule_containers.h: the containers that a failure policy names
#include <string>
#include <vector>

#include "common/spec/failure_rules.h"

namespace muster::op::api {

struct RoleTemplate {
  const Json& pod_template;
  const char* role;  // the name that Muster gives to its own container where the template has none
};

// A rule for a container that is in none of the templates would never fit. The error names those that are
// there.
[[nodiscard]] Status check_rule_containers(const std::vector<spec::FailureRule>& rules,
                                           const std::vector<RoleTemplate>& templates);

}  // namespace muster::op::api
