// common/platform/memory.cc: by /proc/self/maps and madvise(2)
#include "common/platform/memory.h"

#include <malloc.h>
#include <sys/mman.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

namespace muster {

void release_startup_memory() {
  malloc_trim(0);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    char dash = 0;
    std::string rights, offset, device;
    std::uint64_t inode = 0;
    fields >> std::hex >> begin >> dash >> end >> rights >> offset >> device >> std::dec >> inode;
    // Only code of files: never written to, so that nothing is lost with the page.
    if (!fields || rights != "r-xp" || inode == 0) continue;
    (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
}

}  // namespace muster
