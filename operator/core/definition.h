#pragma once  // operator/core/definition.h: definitions (CRDs) of the cluster that are older than the
              // operator
#include <string>

#include "operator/core/pass.h"

namespace muster::op {

inline constexpr const char* kDefinitionOutdated = "DefinitionOutdated";

// The first field of a merge patch that the API server has not kept in the object, as "status.roster"; "":
// it has kept all. An API server drops, without an error, what the definition has no field for.
[[nodiscard]] std::string field_not_kept(const Json& patch, const Json& kept);

// Condition DefinitionOutdated, by Observed::unkept: its last status write was not kept as it was written.
void tell_definition(Pass& pass);

}  // namespace muster::op
