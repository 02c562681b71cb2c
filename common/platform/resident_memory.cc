// common/platform/resident_memory.cc: glibc's heap
#include "common/platform/resident_memory.h"

#include <malloc.h>

namespace muster {
namespace {

constexpr int kArenas = 2;  // an arena a thread would keep many half-empty pages
constexpr int kTrimBytes = 256 * 1024;
constexpr int kLargeBlock = 4 << 20;  // smaller ones, as messages, are used again at once
constexpr int kArenasOfLarge = 4;

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

void give_back_memory() { malloc_trim(0); }

}  // namespace muster
