#pragma once  // cli/completion.h: what `muster completion SHELL` prints. Pure
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace muster::cli {

// bash, zsh or fish; kInvalidArgument for another. Completes verbs, options, kinds, and, by `muster get -o
// name`, names.
[[nodiscard]] Result<std::string> completion_script(std::string_view shell);

}  // namespace muster::cli
