// operator/api/rule_containers.cc: the containers that a failure policy names
#include "operator/api/rule_containers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "common/json/access.h"

namespace muster::op::api {
namespace {

std::vector<std::string> container_names(const std::vector<RoleTemplate>& templates) {
  std::vector<std::string> names;
  for (const auto& [pod_template, role] : templates) {
    bool named = false;  // the container that carries the role, by its user
    for (const char* list : {"initContainers", "containers"}) {
      const Json& containers = member(pod_template, "spec", list);
      if (!containers.is_array()) continue;
      for (const Json& container : containers) {
        const std::string name = text_at(container, "name");
        named = named || (!name.empty() && list == std::string_view("containers"));
        if (!name.empty()) names.push_back(name);
      }
    }
    if (!named) names.emplace_back(role);
  }
  return names;
}

}  // namespace

Status check_rule_containers(const std::vector<spec::FailureRule>& rules,
                             const std::vector<RoleTemplate>& templates) {
  const std::vector<std::string> names = container_names(templates);
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!rules[i].on_exit_codes) continue;
    const std::string& name = rules[i].on_exit_codes->container_name;
    if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) continue;
    return invalid_argument(
        fmt::format("spec.runPolicy.failurePolicy.rules[{}].onExitCodes.containerName: no container is named "
                    "\"{}\", use one "
                    "of: {}",
                    i, name, fmt::join(names, ", ")));
  }
  return {};
}

}  // namespace muster::op::api
