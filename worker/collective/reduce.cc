// worker/collective/reduce.cc: compiled with -O3, so that the loops are vectorised; each machine picks its
// version
#include "worker/collective/reduce.h"

// The versions are chosen while the program is loaded, before the sanitizers are ready for it.
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define MUSTER_VECTOR_VERSIONS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MUSTER_VECTOR_VERSIONS
#endif

namespace muster::worker {

MUSTER_VECTOR_VERSIONS
void add_to(float* __restrict target, const float* __restrict source, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) target[i] += source[i];
}

MUSTER_VECTOR_VERSIONS
void scale(float* values, float factor, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) values[i] *= factor;
}

}  // namespace muster::worker
