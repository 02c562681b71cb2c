#pragma once  // common/platform/pod_memory.h: what this pod's processes may take
#include <cstdint>

namespace muster {

// Bytes: the container's limit (cgroup v2), else those of the machine.
[[nodiscard]] std::uint64_t memory_of_this_pod();

}  // namespace muster
