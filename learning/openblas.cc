// learning/openblas.cc: what OpenBLAS exports, where it is what the program runs with
#include "learning/openblas.h"

#include <dlfcn.h>

#include <cstdlib>

namespace muster::learning {
namespace {

constexpr const char* kVariable = "OPENBLAS_CORETYPE";

template <typename Function>
Function* exported(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_DEFAULT, name));
}

}  // namespace

std::optional<const char*> better_kernels(std::string_view chosen, const CpuFeatures& cpu) {
  if (chosen != "Prescott") return std::nullopt;
  if (cpu.avx512) return "SkylakeX";
  if (cpu.avx2) return "Haswell";
  return std::nullopt;
}

CpuFeatures cpu_features() {
#ifdef __x86_64__
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  return {.avx2 = avx2, .avx512 = avx2 && avx512};
#else
  return {};
#endif
}

std::string_view openblas_kernels() {
  auto* const name = exported<char*()>("openblas_get_corename");
  return name == nullptr ? std::string_view() : name();
}

void use_better_kernels() {
  if (std::getenv(kVariable) != nullptr) return;
  const auto better = better_kernels(openblas_kernels(), cpu_features());
  auto* const forget = exported<void()>("gotoblas_dynamic_quit");
  auto* const choose = exported<void()>("gotoblas_dynamic_init");
  if (!better || forget == nullptr || choose == nullptr) return;
  setenv(kVariable, *better, 0);
  forget();
  choose();
  unsetenv(kVariable);
}

}  // namespace muster::learning
