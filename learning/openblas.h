#pragma once  // learning/openblas.h: the kernels of OpenBLAS for a processor that is newer than it
#include <optional>
#include <string_view>

namespace muster::learning {

struct CpuFeatures {
  bool avx2 = false;    // and FMA
  bool avx512 = false;  // F, CD, BW, DQ and VL
};

// OpenBLAS takes the kernels of a Prescott, which has no AVX, for each x86 processor that it does not know:
// 0.3.21 of Debian 12 for an Emerald Rapids, with a seventh of the speed. The kernels to ask for instead of
// `chosen`, as OPENBLAS_CORETYPE names them; nullopt: they are right.
[[nodiscard]] std::optional<const char*> better_kernels(std::string_view chosen, const CpuFeatures& cpu);

[[nodiscard]] CpuFeatures cpu_features();  // of this machine
// What OpenBLAS has chosen; empty: BLAS is another library.
[[nodiscard]] std::string_view openblas_kernels();

// Has OpenBLAS use better ones, unless OPENBLAS_CORETYPE names some. Only while there is one thread (it sets
// the environment), and before the first call of BLAS.
void use_better_kernels();

}  // namespace muster::learning
