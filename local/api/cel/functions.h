#pragma once  // local/api/cel/functions.h: CEL's operators and functions on values
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::local::cel {

// `arguments` counts the target of a method call.
[[nodiscard]] bool is_known_function(const std::string& name, bool method, std::size_t arguments);
[[nodiscard]] Result<Json> call_function(const std::string& name, const std::vector<const Json*>& arguments);

}  // namespace muster::local::cel
