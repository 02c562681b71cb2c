#pragma once  // local/api/builtin_defaults.h: defaults of smaller built-in kinds (private to builtin_*.cc)
#include "local/api/kind_rules.h"

namespace muster::local {

inline void set_default(Json& object, const char* name, Json value) {
  if (!object.contains(name) || object[name].is_null()) object[name] = std::move(value);
}

void default_binding(Json& binding);  // of a Role or a ClusterRole
void default_network_policy(Json& policy);
void default_limit_range(Json& range);

}  // namespace muster::local
