#pragma once  // operator/core/pod_environment.h: the variables of the pod contract
#include <cstdint>
#include <string>

#include "operator/core/pod_plan.h"

namespace muster::op {

[[nodiscard]] Json variable(const char* name, std::string value);

// What the container asks for of nvidia.com/gpu, amd.com/gpu and their like; parts of one
// ("nvidia.com/mig-...") are counted by whoever shares them.
[[nodiscard]] std::int64_t gpus_of(const Json& container);

// What every container gets. `gpus`: of the container that carries the role.
[[nodiscard]] Json environment(const PodPlan& plan, std::int64_t gpus);

// Ours come first, so that the user's variables can refer to them.
void add_environment(Json& containers, const Json& env);

}  // namespace muster::op
