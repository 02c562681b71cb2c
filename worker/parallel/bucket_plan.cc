// worker/parallel/bucket_plan.cc: whole tensors, from the last to the first
#include "worker/parallel/bucket_plan.h"

#include <algorithm>

namespace muster::worker {

std::vector<Bucket> plan_buckets(std::span<const learning::Tensor> tensors, const BucketSizes& sizes) {
  std::size_t all = 0;
  for (const learning::Tensor& tensor : tensors) all += static_cast<std::size_t>(tensor.size);
  if (all < sizes.least) return {{.first = 0, .size = all}};
  std::vector<Bucket> plan;
  std::size_t end = all;    // of the bucket that is being filled
  std::size_t first = all;  // of it so far
  for (std::size_t i = tensors.size(); i-- > 0;) {
    first -= static_cast<std::size_t>(tensors[i].size);
    if (i > 0 && end - first < sizes.elements) continue;
    if (end > first || plan.empty()) plan.push_back({.first = first, .size = end - first});
    end = first;
  }
  return plan;
}

}  // namespace muster::worker
