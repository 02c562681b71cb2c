#pragma once  // local/api/cel/functions.h: what each operator and function does; types were checked before
#include <string>
#include <vector>

#include "common/base/result.h"
#include "local/api/cel/value.h"

namespace muster::local::cel {

using Arguments = std::vector<Value>;  // the target of a method first
using Function = Result<Value> (*)(const Arguments& arguments);

// Null if there is none; && || ?: == and != are the evaluator's own.
[[nodiscard]] Function find_function(const std::string& name);

inline constexpr std::size_t kTextMax = 4 * 1024 * 1024;  // of strings and lists that an expression makes

}  // namespace muster::local::cel
