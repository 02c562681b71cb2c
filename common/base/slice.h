#pragma once  // common/base/slice.h: many things cut into nearly equal parts
#include <algorithm>
#include <cstdint>

namespace muster {

struct Slice {  // [begin, end)
  std::int64_t begin = 0;
  std::int64_t end = 0;
  [[nodiscard]] constexpr std::int64_t size() const { return end - begin; }
  friend bool operator==(const Slice&, const Slice&) = default;
};

// Part `index` of `parts` contiguous ones that tile 0 .. count: the first count mod parts have one more.
[[nodiscard]] constexpr Slice slice_of(std::int64_t count, std::int64_t index, std::int64_t parts) {
  const auto start = [&](std::int64_t i) { return i * (count / parts) + std::min(i, count % parts); };
  return {.begin = start(index), .end = start(index + 1)};
}

}  // namespace muster
