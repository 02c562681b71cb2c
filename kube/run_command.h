#pragma once  // kube/run_command.h: runs a program to its end and returns what it printed; for exec plugins
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace muster::kube {

struct Command {
  std::string program;
  std::vector<std::string> arguments{};
  std::vector<std::pair<std::string, std::string>> environment{};  // added to our own
  bool keep_stdin = false;                                         // else /dev/null
  std::chrono::milliseconds timeout{60'000};
  std::size_t output_bytes_max = 1U << 20U;
};

// Its stdout, when it exits with 0; its stderr is ours. Errors name the exit code, the signal, or what could
// not be run.
[[nodiscard]] Result<std::string> run_command(const Command& command);

}  // namespace muster::kube
