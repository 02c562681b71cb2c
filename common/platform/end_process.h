#pragma once  // common/platform/end_process.h: the end of a process that takes no library apart
#include <cstdio>
#include <cstdlib>

namespace muster {

// The end of main in a program that loads libtorch: its destructors would unregister every operator one by
// one, 0.1 s of CPU time for memory that the kernel takes back anyway. Standard output and error are flushed.
[[noreturn]] inline void end_process(int exit_code) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  std::exit(exit_code);  // a sanitizer says there what it has found
#else
  std::fflush(nullptr);
  std::_Exit(exit_code);
#endif
}

}  // namespace muster
