#pragma once  // local/api/cel/functions.h: what each operator and function does; types were checked before
#include <map>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "local/api/cel/value.h"

namespace muster::local::cel {

using Arguments = std::vector<Value>;  // the target of a method first
using Function = Result<Value> (*)(const Arguments& arguments);
using FunctionTable = std::map<std::string, Function>;

// Null if there is none; && || ?: == and != are the evaluator's own.
[[nodiscard]] Function find_function(const std::string& name);

// The parts of it.
[[nodiscard]] const FunctionTable& text_functions();        // strings.cc
[[nodiscard]] const FunctionTable& list_functions();        // lists.cc
[[nodiscard]] const FunctionTable& kubernetes_functions();  // kubernetes.cc
[[nodiscard]] const FunctionTable& address_functions();     // addresses.cc

inline constexpr std::size_t kTextMax = 4 * 1024 * 1024;  // of strings and lists that an expression makes

}  // namespace muster::local::cel
