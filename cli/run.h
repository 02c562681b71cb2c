#pragma once  // cli/run.h: `muster run FILE...`: the manifests' jobs from start to end, without a cluster
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/manifest.h"

namespace muster::cli {

struct RunOptions {
  std::vector<std::string> files;
  bool json = false;
  std::filesystem::path output_dir = "muster-out";
  std::optional<std::chrono::seconds> timeout;
  bool verbose = false;
};

// Returns the exit code (exit_code.h).
[[nodiscard]] int run(const RunOptions& options);

// Reads and checks all files; every file's first error is in the one returned. At least one job must be
// there.
[[nodiscard]] Result<std::vector<ManifestObject>> load_manifests(const std::vector<std::string>& files);

}  // namespace muster::cli
