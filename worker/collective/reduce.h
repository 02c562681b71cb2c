#pragma once  // worker/collective/reduce.h: the arithmetic of a reduction, for the widest vectors of the CPU.
              // Pure
#include <cstddef>

namespace muster::worker {

// target[i] += source[i]; the arrays do not overlap. Any alignment.
void add_to(float* target, const float* source, std::size_t count) noexcept;
// values[i] *= factor.
void scale(float* values, float factor, std::size_t count) noexcept;
// How many are no finite numbers: NaN, infinite.
[[nodiscard]] std::size_t count_not_finite(const float* values, std::size_t count) noexcept;

}  // namespace muster::worker
