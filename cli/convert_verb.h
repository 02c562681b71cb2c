#pragma once  // cli/convert_verb.h: `muster convert FILE`: jobs of Kubeflow's operators as DistributedJobs
#include <string>
#include <vector>

namespace muster::cli {

struct ConvertOptions {
  std::vector<std::string> files;  // "-": standard input
};

// YAML on standard output; what is left to do before it can run, on standard error.
[[nodiscard]] int convert(const ConvertOptions& options);

}  // namespace muster::cli
