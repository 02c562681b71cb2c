#pragma once  // common/platform/file_limit.h: as many open files as the system allows
#include <sys/resource.h>

namespace muster {

// Of a process with many connections: the usual soft limit of 1,024 is for programs that use select().
inline void allow_many_files() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace muster
