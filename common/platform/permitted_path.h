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

// Of what lies below a folder that one of the above has answered: others may write there, and links too.
// `path` as it is given, once it is known where its links lead. Errors: kInvalidArgument.
// A file of a dataset: in the dataset's folder, or not among the system's files.
[[nodiscard]] Result<std::filesystem::path> permitted_dataset_file(const std::filesystem::path& folder,
                                                                   const std::filesystem::path& path);
// A folder of a storage: inside it.
[[nodiscard]] Result<std::filesystem::path> permitted_storage_folder(const std::filesystem::path& storage,
                                                                     const std::filesystem::path& path);

}  // namespace muster
