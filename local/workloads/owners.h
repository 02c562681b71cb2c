#pragma once  // local/workloads/owners.h: who controls an object, and what its conditions say
#include <optional>
#include <string>

#include "common/base/rfc3339.h"
#include "local/runtime/json_access.h"

namespace muster::local {

// The owner reference of the controller, or null.
[[nodiscard]] inline const Json& controller_of(const Json& object) {
  for (const Json& owner : member(object, "metadata", "ownerReferences"))
    if (boolean(member(owner, "controller"))) return owner;
  return member(object, "");
}
[[nodiscard]] inline bool controls(const Json& owner, const Json& object) {
  return text(member(controller_of(object), "uid")) == uid_of(owner);
}
[[nodiscard]] inline bool going(const Json& object) {
  return member(object, "metadata", "deletionTimestamp").is_string();
}

// What an object's ownerReferences hold of its controller, a workload of apps/v1.
[[nodiscard]] inline Json controller_reference(const Json& owner, const char* kind) {
  return {{"apiVersion", "apps/v1"}, {"kind", kind},       {"name", name_of(owner)},
          {"uid", uid_of(owner)},    {"controller", true}, {"blockOwnerDeletion", true}};
}

// The condition `type` of a status, or null.
[[nodiscard]] inline const Json& condition_of(const Json& status, std::string_view type) {
  for (const Json& condition : member(status, "conditions"))
    if (text(member(condition, "type")) == type) return condition;
  return member(status, "");
}
[[nodiscard]] inline std::optional<WallTime> time_of(const Json& object, std::string_view name) {
  return parse_rfc3339(text(member(object, name)));
}

// Counts of a status that are 0 are left out, as Kubernetes does.
inline void set_count(Json& status, const char* name, std::int64_t count) {
  if (count != 0) status[name] = count;
}

}  // namespace muster::local
