#pragma once  // common/codec/magnitude.h: which values of a vector matter
#include <cstdint>
#include <span>
#include <vector>

namespace muster::codec {

// The positions, rising, of the `count` values of largest magnitude; of equal ones those of lower positions.
// A NaN is larger than all. 1 <= count <= values.size() < 2^32. Exact, without sorting: a histogram of the
// magnitudes' upper 11 bits, then a selection among the values of the one bin through which the limit runs.
// Memory: 8 bytes for each value of that bin or above.
[[nodiscard]] std::vector<std::uint32_t> largest_positions(std::span<const float> values, std::size_t count);

// The positions, rising, of the values of larger magnitude than `threshold`, and of NaN. threshold: finite,
// >= 0.
[[nodiscard]] std::vector<std::uint32_t> positions_above(std::span<const float> values, float threshold);

}  // namespace muster::codec
