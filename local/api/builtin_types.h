#pragma once  // local/api/builtin_types.h: the fields of Kubernetes' own types (builtin_types.txt, names and
              // types of 1.33)
#include <string_view>

#include "local/api/schema.h"

namespace muster::local {

// "Pod", "ObjectMeta", "events.Event". Compiled on first use; the same pointer each time. Aborts on an
// unknown name, which is a mistake in the program.
[[nodiscard]] SchemaPtr builtin_type(std::string_view name);

}  // namespace muster::local
