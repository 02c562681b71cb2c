#pragma once  // tests/operator/core/pods_of_digits.h: an object whose pods are planned, and how to read them
#include <map>
#include <string>

#include "common/json/fields.h"
#include "operator/core/pod_plan.h"

namespace muster::op::testing {

inline const api::ObjectMeta kOwner{.name = "digits",
                                    .ns = "team",
                                    .uid = "u-1",
                                    .resource_version = {},
                                    .generation = 1,
                                    .deletion = {},
                                    .queue = {},
                                    .queue_priority = {}};

inline std::map<std::string, std::string> env_of(const Json& container) {
  std::map<std::string, std::string> env;
  for (const Json& variable : container["env"])
    env[variable["name"]] = variable.contains("value")
                                ? variable["value"].get<std::string>()
                                : variable["valueFrom"]["fieldRef"]["fieldPath"].get<std::string>();
  return env;
}

}  // namespace muster::op::testing
