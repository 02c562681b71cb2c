#pragma once  // common/base/check.h: a programmer's error ends the process with one readable line
#include <cstdio>
#include <cstdlib>

// For facts that only a bug can break; expected failures return a Status instead.
#define MUSTER_CHECK(condition)                                                          \
  do {                                                                                   \
    if (!(condition)) [[unlikely]] {                                                     \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)
