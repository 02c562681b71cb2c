#pragma once  // common/program/memory_plan.h: parameters and gradient where worker and program both see them.
              // Pure
#include <cstddef>
#include <string_view>

namespace muster::program {

inline constexpr std::string_view kMemoryPurpose = "parameters and gradient";

// Where what lies: the parameters [P] at the begin, the gradient [P] and `riders` floats behind it from a
// cache line on.
struct MemoryPlan {
  std::size_t parameters = 0;
  std::size_t gradient = 0;  // offset in floats
  std::size_t bytes = 0;
};

[[nodiscard]] inline MemoryPlan plan_memory(std::size_t parameters, std::size_t riders) {
  constexpr std::size_t kLine = 64 / sizeof(float);
  const std::size_t gradient = (parameters + kLine - 1) / kLine * kLine;
  return {.parameters = parameters,
          .gradient = gradient,
          .bytes = (gradient + parameters + riders) * sizeof(float)};
}

}  // namespace muster::program
