#pragma once  // common/platform/permitted_path.h: the process's own paths of a manifest's, checked before use
#include <filesystem>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace muster {

// The operator has judged the path by its text; here links count, too. The answers have none. `field` names
// the path in errors, which quote the manifest's path alone: kInvalidArgument.

// Of a dataset: in its volume or in the image, but not among the system's files.
[[nodiscard]] Result<std::filesystem::path> permitted_dataset(const std::string& path,
                                                              const std::string& field);
// Of a folder for checkpoints: inside one of `mounts`, the writable ones that the assignment names.
[[nodiscard]] Result<std::filesystem::path> permitted_storage(const std::string& path,
                                                              const std::string& field,
                                                              const std::vector<std::string>& mounts);

}  // namespace muster
