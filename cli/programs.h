#pragma once  // cli/programs.h: the programs that a run's jobs need beside `muster`
#include <filesystem>
#include <vector>

#include "cli/manifest.h"

namespace muster::cli {

// muster-worker for training, muster-exec for restarts in place, muster-aggregator and muster-device for a
// federation, where the pod template leaves the image to us. Errors: kFailedPrecondition: which binary is
// missing in `folder`, which object needs it, what to do.
[[nodiscard]] Status check_programs(const std::vector<ManifestObject>& objects,
                                    const std::filesystem::path& folder);

// Where this program lies.
[[nodiscard]] std::filesystem::path program_folder();

}  // namespace muster::cli
