#pragma once  // cli/embedded_crds.h: the definitions of crds/ as JSON, compiled in, so that `muster` needs no
              // files beside it
#include <string>
#include <vector>

namespace muster::cli {

[[nodiscard]] std::vector<std::string> embedded_crds();

}  // namespace muster::cli
