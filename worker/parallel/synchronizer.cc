// worker/parallel/synchronizer.cc: what a rank's part of a batch weighs
#include "worker/parallel/synchronizer.h"

#include <algorithm>

#include "common/base/check.h"
#include "worker/collective/reduce.h"

namespace muster::worker {

void weigh(std::span<float> gradient, const BatchShare& share, int ranks) {
  MUSTER_CHECK(share.all >= 1 && share.mine >= 0 && share.mine <= share.all);
  const double weight =
      static_cast<double>(share.mine) * static_cast<double>(ranks) / static_cast<double>(share.all);
  if (share.mine == 0) {
    std::ranges::fill(gradient, 0.0F);
  } else if (weight != 1.0) {
    scale(gradient.data(), static_cast<float>(weight), gradient.size());
  }
}

float loss_rider(double loss, const BatchShare& share) {
  return share.mine == 0 ? 0.0F : static_cast<float>(loss * static_cast<double>(share.mine));
}

}  // namespace muster::worker
