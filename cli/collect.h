#pragma once  // cli/collect.h: the files of a finished run: model, history and plot of each job
#include <filesystem>
#include <set>
#include <string>

#include "cli/summary.h"

namespace muster::cli {

// What a run leaves in its output folder: the claims' folder, and in a folder of each job's own these files.
inline constexpr const char* kVolumesFolder = "volumes";
inline constexpr const char* kModelFile = "model.safetensors";
inline constexpr const char* kHistoryFile = "history.csv";
inline constexpr const char* kPlotFile = "curve.svg";

// The folder of a job's files: `name`, or "kind-name", "namespace-kind-name" where an earlier job took that.
[[nodiscard]] std::string output_folder(const JobView& view, std::set<std::string>& taken);

// Copies model.safetensors and history.csv from the job's volume (only of a job that succeeded) to `folder`,
// and draws curve.svg. Fills in the outcome's files, why there is no model, and which files were lost.
void collect_files(Outcome& outcome, const Json& object, const std::filesystem::path& volumes,
                   const std::filesystem::path& folder);

}  // namespace muster::cli
