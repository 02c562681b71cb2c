// common/platform/pod_memory.cc: asks the machine and the control group
#include "common/platform/pod_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace muster {

std::uint64_t memory_of_this_pod() {
  const auto pages = static_cast<std::uint64_t>(std::max(::sysconf(_SC_PHYS_PAGES), 0L));
  const std::uint64_t machine = pages * static_cast<std::uint64_t>(std::max(::sysconf(_SC_PAGESIZE), 1L));
  std::uint64_t limit = 0;
  std::ifstream told("/sys/fs/cgroup/memory.max");  // "max", where there is none
  return told >> limit && limit > 0 ? std::min(machine, limit) : machine;
}

}  // namespace muster
