#pragma once  // local/runtime/gpus.h: which GPUs of the machine a container sees. Pure
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json/fields.h"
#include "local/runtime/container_env.h"

namespace muster::local {

inline constexpr std::string_view kGpuResource = "nvidia.com/gpu";

class GpuPool {
 public:
  explicit GpuPool(std::vector<std::string> gpus) : free_(std::move(gpus)) {}
  // `count` GPUs that no other pod has; nothing when so many are not free.
  [[nodiscard]] std::optional<std::vector<std::string>> take(std::size_t count);
  void give_back(const std::vector<std::string>& gpus);

 private:
  std::vector<std::string> free_;
};

// CUDA_VISIBLE_DEVICES and NVIDIA_VISIBLE_DEVICES of a container: those of the pod's GPUs (`pod_gpus`) that
// are its own; none of them when it requests none, as in a cluster. Containers and sidecars share the pod's
// GPUs out in order; an init container, which runs before them, has the first ones. Empty where the machine
// has no GPU.
[[nodiscard]] Variables gpu_variables(const Json& pod, const Json& container,
                                      const std::vector<std::string>& pod_gpus,
                                      const std::vector<std::string>& machine_gpus);

}  // namespace muster::local
