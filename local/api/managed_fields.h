#pragma once  // local/api/managed_fields.h: who set which field (metadata.managedFields), and server-side
              // apply on top of it
#include <string>
#include <vector>

#include "local/api/api_error.h"
#include "local/api/field_set.h"
#include "local/api/formats.h"
#include "local/api/kind.h"

namespace muster::local {

// After an update by `manager` from `old` (null: creation) to `object`: the fields that changed are its own.
// A client may also have rewritten managedFields itself; what it sent is taken as the state before.
void record_update(const Kind& kind, const Json* old, Json& object, const std::string& manager,
                   const std::string& subresource, WallTime now);

// Where kubectl's client-side apply notes what it applied.
inline constexpr const char* kLastApplied = "kubectl.kubernetes.io/last-applied-configuration";

struct ApplyOutcome {
  Json object;           // with managedFields
  bool changed = false;  // false: nothing but managedFields may differ
};
// Server-side apply of `config` to `live` (an empty object when there is none). 409 with the conflicting
// fields unless `force`, or what `kubectl` applied itself on the client's side and nobody changed since;
// `live` must be pruned and defaulted already.
[[nodiscard]] ApiResult<ApplyOutcome> apply_config(const Kind& kind, const Json& live, const Json& config,
                                                   const std::string& manager, const std::string& subresource,
                                                   bool force);
// An apply that changed something is stamped with the time.
void stamp_apply(Json& object, const std::string& manager, const std::string& subresource, WallTime now);

}  // namespace muster::local
