#pragma once  // local/api/builtin_admission.h: what a real server's strategies and admission do to built-in
              // kinds as they are stored, beyond the object itself: look others up, allocate, complete
#include <string>

#include "local/api/api_error.h"
#include "local/api/kind.h"
#include "local/api/object_store.h"

namespace muster::local {

// Before a new object is judged. Refuses a pod that names what does not exist (Forbidden); gives it its
// priority.
[[nodiscard]] ApiStatus admit_builtin(const ObjectStore& store, const Kind& kind, Json& object);

// After the fields of a new object were booked to their manager: what nobody owns. The empty status of its
// kind, a Job's selector and labels.
void complete_builtin(const Kind& kind, Json& object);

// The node ports of a Service that wants them, free ones for those that it does not name; `old`: as it was,
// null for a new one. Refuses (Invalid) a port that another has, or that is out of range.
[[nodiscard]] ApiStatus allocate_node_ports(const ObjectStore& store, Json& service, const Json* old);

}  // namespace muster::local
