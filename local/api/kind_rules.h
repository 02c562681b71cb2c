#pragma once  // local/api/kind_rules.h: what built-in kinds do beyond their schema: defaults, immutable
              // fields, checks
#include <string>

#include "local/api/api_error.h"
#include "local/api/formats.h"
#include "local/api/kind.h"

namespace muster::local {

// The error of Go's decoder if a value has the wrong type for a built-in kind ("json: cannot unmarshal ...").
[[nodiscard]] ApiStatus check_builtin_types(const Kind& kind, const Json& object);
// Defaults and normal forms: Service ports, pod policies, Secret.stringData, canonical quantities.
void default_builtin(const Kind& kind, Json& object);
// On creation: initial status and finalizers; on update: what users cannot change is taken from `old`.
void prepare_builtin_create(const Kind& kind, Json& object, bool trusted, WallTime now);
void prepare_builtin_update(const Kind& kind, const Json& old, Json& object, const std::string& subresource);
[[nodiscard]] FieldErrors validate_builtin(const Kind& kind, const Json& object, const Json* old,
                                           const std::string& subresource);

}  // namespace muster::local
