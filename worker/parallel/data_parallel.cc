// worker/parallel/data_parallel.cc: weighting, buckets, all-reduce, mean
#include "worker/parallel/data_parallel.h"

#include <algorithm>

#include "common/base/check.h"
#include "worker/collective/reduce.h"

namespace muster::worker {

Result<StepSums> DataParallel::combine(std::span<float> gradient, const Step& step) {
  const BatchShare& share = step.share;
  MUSTER_CHECK(share.all >= 1 && share.mine >= 0 && share.mine <= share.all);
  MUSTER_CHECK(gradient.size() >= kRiders);
  const std::span<float> values = gradient.first(gradient.size() - kRiders);
  const std::span<float> riders = gradient.last(kRiders);
  const auto ranks = static_cast<double>(collective_.size());
  if (collective_.size() == 1) {  // there is nothing to share, but the next membership may wait
    MUSTER_TRY(collective_.barrier(deadline_after(timeout_)));
    return StepSums{.loss = step.loss, .stop = step.stop};
  }
  // sum_r (m_r / M) g_r = (1 / n) sum_r (m_r n / M) g_r: with equal shares the weight is exactly 1.
  const double weight = static_cast<double>(share.mine) * ranks / static_cast<double>(share.all);
  if (share.mine == 0) {
    std::ranges::fill(values, 0.0F);
  } else if (weight != 1.0) {
    scale(values.data(), static_cast<float>(weight), values.size());
  }
  riders[0] = share.mine == 0 ? 0.0F : static_cast<float>(step.loss * static_cast<double>(share.mine));
  riders[1] = step.stop ? 1.0F : 0.0F;
  MUSTER_ASSIGN(const SumCost cost, gradient_sum_.sum(gradient, kRiders, step.number, step.dense));
  scale(values.data(), static_cast<float>(1.0 / ranks), values.size());
  return StepSums{.loss = static_cast<double>(riders[0]) / static_cast<double>(share.all),
                  .stop = riders[1] > 0,
                  .cost = cost};
}

}  // namespace muster::worker
