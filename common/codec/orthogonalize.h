#pragma once  // common/codec/orthogonalize.h: columns made orthonormal
#include <cstddef>
#include <span>

#include "common/codec/key.h"

namespace muster::codec {

// Sum of a[i] * b[i], in float64 and 8 lanes: the same bits on every CPU.
[[nodiscard]] double dot(const float* a, const float* b, std::size_t count) noexcept;

// columns: as many as fit, each of `length` values one after another; at most `length` columns. Modified
// Gram-Schmidt, as PowerSGD takes it: O(length r^2), and stable enough for the few columns that there are. A
// column that depends on those before it (or is zero, or not finite) is replaced by a random one under `key`,
// so that a direction which died once comes back.
void orthogonalize(std::span<float> columns, std::size_t length, const Key& key);

// Uniform in (-1, 1), the numbers of `key` from Key::first on.
void draw_uniform(std::span<float> values, const Key& key);

}  // namespace muster::codec
