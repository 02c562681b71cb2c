#pragma once  // tests/sim/objects.h: what the parts of the cluster read in objects
#include <algorithm>
#include <chrono>
#include <string>

#include "common/base/random.h"
#include "common/json/access.h"

namespace muster::sim {

inline constexpr const char* kOwnNamespace = "muster-system";  // of the operator
inline constexpr const char* kLeaseName = "muster-operator.muster.dev";

inline constexpr const char* kNodeProblem = "KernelDeadlock";  // a condition of a node

inline std::string identity_of(int replica) { return "operator-" + std::to_string(replica); }

inline bool is_terminating(const Json& object) {
  return member(object, "metadata", "deletionTimestamp").is_string();
}

inline bool has_ended(const Json& pod) {
  const std::string phase = text(member(pod, "status", "phase"));
  return phase == "Succeeded" || phase == "Failed";
}

inline bool is_broken(const Json& node) {
  const Json& conditions = member(node, "status", "conditions");
  return conditions.is_array() && std::ranges::any_of(conditions, [](const Json& each) {
           return each.at("type") == kNodeProblem && each.at("status") == "True";
         });
}

// The uid of its owner; empty: none.
inline std::string owner_of(const Json& object) {
  const Json& owners = member(object, "metadata", "ownerReferences");
  return owners.is_array() && !owners.empty() ? text(member(owners[0], "uid")) : "";
}

inline std::string holder_of(const Json& lease) { return text(member(lease, "spec", "holderIdentity")); }

inline std::chrono::nanoseconds up_to(Random& random, std::chrono::nanoseconds most) {
  return std::chrono::nanoseconds(
      static_cast<std::int64_t>(random.uniform() * static_cast<double>(most.count())));
}

}  // namespace muster::sim
