// worker/parallel/data_parallel.cc: weighting, buckets, all-reduce, mean
#include "worker/parallel/data_parallel.h"

#include <algorithm>
#include <array>

#include "common/base/check.h"
#include "worker/collective/reduce.h"
#include "worker/collective/ring_plan.h"

namespace muster::worker {

Result<StepSums> DataParallel::combine(std::span<float> gradient, double loss, bool stop, BatchShare share) {
  MUSTER_CHECK(share.all >= 1 && share.mine >= 0 && share.mine <= share.all);
  const auto ranks = static_cast<double>(collective_.size());
  // sum_r (m_r / M) g_r = (1 / n) sum_r (m_r n / M) g_r: with equal shares the weight is exactly 1.
  const double weight = static_cast<double>(share.mine) * ranks / static_cast<double>(share.all);
  if (share.mine == 0) {
    std::ranges::fill(gradient, 0.0F);
  } else if (weight != 1.0) {
    scale(gradient.data(), static_cast<float>(weight), gradient.size());
  }
  for (std::size_t begin = 0; begin < gradient.size(); begin += options_.bucket_elements) {
    const auto bucket = gradient.subspan(begin, std::min(options_.bucket_elements, gradient.size() - begin));
    MUSTER_TRY(collective_.all_reduce_sum(bucket, Traffic::kPayload, deadline_after(options_.timeout)));
  }
  if (collective_.size() > 1) scale(gradient.data(), static_cast<float>(1.0 / ranks), gradient.size());
  const double loss_sum = share.mine == 0 ? 0.0 : loss * static_cast<double>(share.mine);
  std::array<float, 2> sums{static_cast<float>(loss_sum), stop ? 1.0F : 0.0F};
  if (collective_.size() == 1) return StepSums{.loss = loss, .stop = stop};
  MUSTER_TRY(sum(sums));
  return StepSums{.loss = static_cast<double>(sums[0]) / static_cast<double>(share.all), .stop = sums[1] > 0};
}

std::uint64_t DataParallel::bytes_per_step(std::size_t elements) const {
  std::uint64_t bytes = 0;
  for (std::size_t begin = 0; begin < elements; begin += options_.bucket_elements) {
    const RingPlan plan(std::min(options_.bucket_elements, elements - begin), collective_.size());
    bytes += plan.bytes_sent(collective_.rank());
  }
  return bytes;
}

}  // namespace muster::worker
