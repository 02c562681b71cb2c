// operator/core/pod_environment.cc: the variables that containers get
#include "operator/core/pod_environment.h"

#include <algorithm>

#include "common/base/quantity.h"
#include "common/json/access.h"
#include "common/pods/pod_state.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

constexpr std::int64_t kProcessesMax = 1024;  // of one node, as the CRD says

Json field_variable(const char* name, const char* path) {
  return {{"name", name}, {"valueFrom", {{"fieldRef", {{"fieldPath", path}}}}}};
}

std::vector<std::pair<std::string, std::string>> rendezvous(const PodPlan& plan, std::int64_t gpus) {
  const std::string master = pod_name(plan.owner.name, plan.role, 0) + "." + plan.owner.name;
  const std::string port = std::to_string(plan.rendezvous.master_port);
  const std::string node = std::to_string(plan.index);
  const std::string nodes = std::to_string(plan.world_size);
  const std::int64_t per_node = plan.rendezvous.processes_per_node.value_or(std::max<std::int64_t>(gpus, 1));
  const std::string processes = std::to_string(per_node);
  return {{"MASTER_ADDR", master},
          {"MASTER_PORT", port},
          {"RANK", std::to_string(plan.index * per_node)},
          {"WORLD_SIZE", std::to_string(plan.world_size * per_node)},
          {"LOCAL_RANK", "0"},
          {"LOCAL_WORLD_SIZE", processes},
          {"NODE_RANK", node},
          {"PET_NNODES", nodes},
          {"PET_NPROC_PER_NODE", processes},
          {"PET_NODE_RANK", node},
          {"PET_MASTER_ADDR", master},
          {"PET_MASTER_PORT", port}};
}

}  // namespace

Json variable(const char* name, std::string value) { return {{"name", name}, {"value", std::move(value)}}; }

std::int64_t gpus_of(const Json& container) {
  const Json& limits = member(container, "resources", "limits");
  if (!limits.is_object()) return 0;
  long double count = 0;
  for (const auto& [name, value] : limits.items()) {
    if (!name.ends_with("/gpu")) continue;
    const auto quantity = parse_quantity(value.is_string() ? value.get<std::string>() : value.dump());
    if (quantity && quantity->value > 0) count += quantity->value;
  }
  return static_cast<std::int64_t>(std::min<long double>(count, kProcessesMax));
}

Json environment(const PodPlan& plan, std::int64_t gpus) {
  Json env = Json::array(
      {field_variable(kPodNameVariable, "metadata.name"), field_variable(kPodUidVariable, "metadata.uid"),
       field_variable(kPodIpVariable, "status.podIP"), variable(kJobNameVariable, plan.owner.name),
       variable(kJobUidVariable, plan.owner.uid),
       variable(kIncarnationVariable, std::to_string(plan.incarnation)), variable(kRoleVariable, plan.role),
       variable(kIndexVariable, std::to_string(plan.index))});
  if (plan.image_is_ours) return env;
  for (auto& [name, value] : rendezvous(plan, gpus)) env.push_back(variable(name.c_str(), value));
  return env;
}

void add_environment(Json& containers, const Json& env) {
  for (Json& container : containers) {
    Json all = env;
    if (const auto own = container.find("env"); own != container.end() && own->is_array())
      for (const Json& item : *own) all.push_back(item);
    container["env"] = std::move(all);
  }
}

std::vector<std::pair<std::string, std::string>> rendezvous_of(const PodPlan& plan) {
  const Json& containers = member(plan.pod_template, "spec", "containers");
  const bool none = !containers.is_array() || containers.empty();
  return rendezvous(plan, none ? 0 : gpus_of(containers[role_container(containers, plan.role)]));
}

}  // namespace muster::op
