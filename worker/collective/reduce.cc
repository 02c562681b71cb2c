// worker/collective/reduce.cc: compiled with -O3, so that the loops are vectorised; each machine picks its
// version
#include "worker/collective/reduce.h"

#include <bit>
#include <cstdint>

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

MUSTER_VECTOR_VERSIONS
std::size_t count_not_finite(const float* values, std::size_t count) noexcept {
  constexpr std::uint32_t kExponent = 0x7f800000U;  // all ones: NaN or infinite
  constexpr std::size_t kBlock = 1U << 16U;         // of 32 bit counters, which vectors hold more of
  std::size_t found = 0;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t end = count - begin < kBlock ? count : begin + kBlock;
    std::uint32_t here = 0;
    for (std::size_t i = begin; i < end; ++i)
      here += (std::bit_cast<std::uint32_t>(values[i]) & kExponent) == kExponent ? 1U : 0U;
    found += here;
  }
  return found;
}

}  // namespace muster::worker
