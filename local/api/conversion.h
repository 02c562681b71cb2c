#pragma once  // local/api/conversion.h: one object under two groups: events of the core group and of
              // events.k8s.io
#include <string>

#include "local/api/kind.h"

namespace muster::local {

// From the form in which an object is stored to that of `kind` (apiVersion and kind are set), and back.
// Only the names of some fields differ; what neither form knows is left alone.
void to_served(const Kind& kind, Json& object);
void to_stored(const Kind& kind, Json& object);
// The field of the stored form that a field selector of `kind` means: "regarding.name" ->
// "involvedObject.name".
[[nodiscard]] std::string stored_field(const Kind& kind, const std::string& field);

}  // namespace muster::local
