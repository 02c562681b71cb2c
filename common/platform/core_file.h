#pragma once  // common/platform/core_file.h: keys stay out of core files
#include <sys/resource.h>

namespace muster {

// Of a process that holds keys: when it dies, the kernel writes no core file of it, and tells a program that
// takes core dumps that none is wanted.
inline void forbid_core_file() {
  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &none);
}

}  // namespace muster
