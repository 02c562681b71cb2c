// worker/parallel/synchronizer.cc: what a rank's part of a batch weighs
#include "worker/parallel/synchronizer.h"

#include <algorithm>

#include "common/base/check.h"
#include "worker/collective/reduce.h"

namespace muster::worker {
namespace {

constexpr std::size_t kBlock = 4096;

}  // namespace

std::int64_t weigh(std::span<float> gradient, const BatchShare& share, int ranks) {
  MUSTER_CHECK(share.all >= 1 && share.mine >= 0 && share.mine <= share.all);
  const double weight =
      static_cast<double>(share.mine) * static_cast<double>(ranks) / static_cast<double>(share.all);
  if (share.mine == 0) {
    std::ranges::fill(gradient, 0.0F);
    return 0;
  }
  std::int64_t not_finite = 0;
  for (std::size_t first = 0; first < gradient.size(); first += kBlock) {  // both while it is in the cache
    const auto block = gradient.subspan(first, std::min(kBlock, gradient.size() - first));
    not_finite += static_cast<std::int64_t>(count_not_finite(block.data(), block.size()));
    if (weight != 1.0) scale(block.data(), static_cast<float>(weight), block.size());
  }
  return not_finite;
}

float loss_rider(double loss, const BatchShare& share) {
  return share.mine == 0 ? 0.0F : static_cast<float>(loss * static_cast<double>(share.mine));
}

}  // namespace muster::worker
