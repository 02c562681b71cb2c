#pragma once  // cli/storage.h: where on this machine a job's model lies, from the volumes of its pod template
#include <filesystem>
#include <string>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::cli {

struct ModelFolder {
  std::filesystem::path path{};  // empty: there is none to collect
  std::string why{};             // then: the reason, with what to change
  bool lost =
      false;  // and it is one for which nothing should run: the model would be kept where nobody finds it
};

// The folder behind spec.training.checkpoint.path or spec.aggregator.storage.path of `object`, which must
// have been defaulted by the server. Claims lie in `volumes`/<namespace>/<claim>.
[[nodiscard]] ModelFolder find_model_folder(const Json& object, const std::filesystem::path& volumes);

}  // namespace muster::cli
