#pragma once  // local/machine.h: this machine as a Kubernetes node
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/json/fields.h"

namespace muster::local {

struct Machine {
  std::int64_t cpus = 1;  // those this process may use
  std::int64_t memory_bytes = 0;
  std::int64_t storage_bytes = 0;  // of the file system of `folder`
  std::vector<std::string> gpus;   // "0" is /dev/nvidia0; as CUDA_VISIBLE_DEVICES names them, if that is set
};

[[nodiscard]] Machine this_machine(const std::filesystem::path& folder);

// The Node object, Ready. `name` is its hostname too.
[[nodiscard]] Json node_object(const Machine& machine, const std::string& name, const std::string& ip);

}  // namespace muster::local
