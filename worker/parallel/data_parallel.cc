// worker/parallel/data_parallel.cc: weighting, buckets, all-reduce, mean
#include "worker/parallel/data_parallel.h"

#include <algorithm>

#include "common/base/check.h"
#include "worker/collective/reduce.h"

namespace muster::worker {

Result<StepSums> DataParallel::combine(std::span<float> gradient, double loss, bool stop, BatchShare share) {
  MUSTER_CHECK(share.all >= 1 && share.mine >= 0 && share.mine <= share.all);
  MUSTER_CHECK(gradient.size() >= kRiders);
  const std::span<float> values = gradient.first(gradient.size() - kRiders);
  const std::span<float> riders = gradient.last(kRiders);
  const auto ranks = static_cast<double>(collective_.size());
  if (collective_.size() == 1) {  // there is nothing to share, but the next membership may wait
    MUSTER_TRY(collective_.barrier(deadline_after(options_.timeout)));
    return StepSums{.loss = loss, .stop = stop};
  }
  // sum_r (m_r / M) g_r = (1 / n) sum_r (m_r n / M) g_r: with equal shares the weight is exactly 1.
  const double weight = static_cast<double>(share.mine) * ranks / static_cast<double>(share.all);
  if (share.mine == 0) {
    std::ranges::fill(values, 0.0F);
  } else if (weight != 1.0) {
    scale(values.data(), static_cast<float>(weight), values.size());
  }
  riders[0] = share.mine == 0 ? 0.0F : static_cast<float>(loss * static_cast<double>(share.mine));
  riders[1] = stop ? 1.0F : 0.0F;
  MUSTER_TRY(for_each_bucket(values.size(), [&](std::size_t begin, std::size_t size, std::size_t behind) {
    return collective_.all_reduce_sum(gradient.subspan(begin, size + behind), Traffic::kPayload,
                                      deadline_after(options_.timeout), behind);
  }));
  scale(values.data(), static_cast<float>(1.0 / ranks), values.size());
  return StepSums{.loss = static_cast<double>(riders[0]) / static_cast<double>(share.all),
                  .stop = riders[1] > 0};
}

std::uint64_t DataParallel::bytes_per_step(std::size_t elements) const {
  std::uint64_t bytes = 0;
  (void)for_each_bucket(elements, [&](std::size_t /*begin*/, std::size_t size, std::size_t /*riders*/) {
    bytes += collective_.all_reduce_bytes(size);
    return Status();
  });
  return bytes;
}

// The riders go with the last one, which may have nothing else.
Status DataParallel::for_each_bucket(std::size_t elements, const Bucket& call) const {
  std::size_t begin = 0;
  do {
    const std::size_t size = std::min(options_.bucket_elements, elements - begin);
    MUSTER_TRY(call(begin, size, begin + size == elements ? kRiders : 0));
    begin += size;
  } while (begin < elements);
  return {};
}

}  // namespace muster::worker
