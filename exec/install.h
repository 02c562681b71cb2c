#pragma once  // exec/install.h: muster-exec copies itself into a volume, for the container beside
#include <string>

#include "common/base/result.h"

namespace muster::exec {

// As FOLDER/muster-exec, whole or not at all. Errors name the folder and the fact.
[[nodiscard]] Status install(const std::string& folder);

}  // namespace muster::exec
