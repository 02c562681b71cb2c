#pragma once  // common/program/range.h: what kBuckets tells of a gradient. Pure
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "common/base/result.h"

namespace muster::program {

struct Range {  // elements [first, first + size), as they lie in the frame's body
  std::int64_t first = 0;
  std::int64_t size = 0;
  friend bool operator==(const Range&, const Range&) = default;
};

// kInvalidArgument: they are not of a gradient of so many elements. kDataLoss: no ranges.
[[nodiscard]] inline Result<std::vector<Range>> read_ranges(std::span<const std::byte> bytes,
                                                            std::int64_t elements) {
  if (bytes.size() % sizeof(Range) != 0) return data_loss("what is told of a gradient is cut");
  std::vector<Range> ranges(bytes.size() / sizeof(Range));
  if (!ranges.empty()) std::memcpy(ranges.data(), bytes.data(), bytes.size());
  for (const Range& range : ranges)
    if (range.first < 0 || range.size < 0 || range.first > elements || range.size > elements - range.first)
      return invalid_argument("tells of elements of its gradient that its model does not have");
  return ranges;
}

}  // namespace muster::program
