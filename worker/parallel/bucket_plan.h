#pragma once  // worker/parallel/bucket_plan.h: in which parts a gradient is summed while it is being computed
#include <cstddef>
#include <span>
#include <vector>

#include "learning/model.h"

namespace muster::worker {

struct Bucket {  // elements [first, first + size) of the gradient
  std::size_t first = 0;
  std::size_t size = 0;
  friend bool operator==(const Bucket&, const Bucket&) = default;
};

// In the order of their sums: from the end of the gradient, where a backward pass begins, to its beginning.
// Each has at least so many elements, but for the last one, which nothing hides; no tensor is cut, as its
// elements become final together. Gradients of less than `least` are one bucket: a sum more costs them more
// than it hides. A function of its arguments alone, which all ranks share.
struct BucketSizes {
  std::size_t elements = 256 * 1024;  // 1 MiB, and 2 MiB: docs/adr/0021-overlap.md
  std::size_t least = 512 * 1024;
};
[[nodiscard]] std::vector<Bucket> plan_buckets(std::span<const learning::Tensor> tensors,
                                               const BucketSizes& sizes = {});

}  // namespace muster::worker
