#pragma once  // cli/output_folder.h: the folder that a run writes to, looked at before anything starts
#include <filesystem>
#include <vector>

#include "cli/manifest.h"

namespace muster::cli {

// Jobs that run side by side keep their models and checkpoints in folders of their own: in a common one each
// removes the other's checkpoints, and nobody knows whose model is there in the end. Errors:
// kInvalidArgument, naming both places.
[[nodiscard]] Status check_model_folders(const std::vector<ManifestObject>& objects);

// Makes `folder`, and looks whether the claims of `objects` and the files of its jobs can have their places
// in it. Errors: kUnavailable: a line for each place that is taken by something else, with what it is.
[[nodiscard]] Status prepare_output(const std::filesystem::path& folder,
                                    const std::vector<ManifestObject>& objects);

}  // namespace muster::cli
