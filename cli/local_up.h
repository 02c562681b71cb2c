#pragma once  // cli/local_up.h: `muster local up`: the control plane of this machine, in the foreground
#include <filesystem>

namespace muster::cli {

struct LocalUpOptions {
  int port = 0;  // 0: a free one
  bool watch_list = false;
  std::filesystem::path audit_log;
  bool run_operator = true;
  std::filesystem::path output_dir = "muster-out";
};

[[nodiscard]] int local_up(const LocalUpOptions& options);

}  // namespace muster::cli
