// common/platform/resident_memory.cc: glibc's heap and the pages of the program's code
#include "common/platform/resident_memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace muster {
namespace {

constexpr int kArenas = 2;  // an arena a thread would keep many half-empty pages
constexpr int kTrimBytes = 256 * 1024;
constexpr int kLargeBlock = 4 << 20;  // smaller ones, as messages, are used again at once
constexpr int kArenasOfLarge = 4;

// Code is never written to, so nothing is lost: a page that is missed is mapped again from the page cache.
int forget_code(dl_phdr_info* object, std::size_t /*size*/, void* /*data*/) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0 || (segment.p_flags & PF_W) != 0) continue;
    const std::uintptr_t from = (object->dlpi_addr + segment.p_vaddr) / page * page;
    const std::uintptr_t to = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader tells addresses as numbers
    static_cast<void>(madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED));
  }
  return 0;
}

}  // namespace

void keep_heap_small() {
  mallopt(M_ARENA_MAX, kArenas);
  mallopt(M_TRIM_THRESHOLD, kTrimBytes);
}

void give_back_large_blocks() {
  mallopt(M_MMAP_THRESHOLD, kLargeBlock);  // which ends its growth, too
  mallopt(M_TRIM_THRESHOLD, kLargeBlock);
  mallopt(M_ARENA_MAX, kArenasOfLarge);
}

void give_back_memory() {
  malloc_trim(0);
  dl_iterate_phdr(forget_code, nullptr);
}

}  // namespace muster
