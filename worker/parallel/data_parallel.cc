// worker/parallel/data_parallel.cc: weighting, buckets, all-reduce, mean
#include "worker/parallel/data_parallel.h"

#include "common/base/check.h"
#include "worker/collective/reduce.h"

namespace muster::worker {
namespace {

// A topology that is tried may take many times as long as the one that is then taken.
constexpr int kSettling = 10;

}  // namespace

Result<Synchronizer::Ahead> DataParallel::begin(const Beginning& where, std::span<float> parameters) {
  MUSTER_ASSIGN(sums_,
                parts_.collective.settle(parameters.size() + kRiders, where.topology, kSettling * timeout_));
  return Ahead{};
}

Result<StepSums> DataParallel::exchange(std::span<float> gradient, std::span<float> /*parameters*/,
                                        const Step& step) {
  MUSTER_CHECK(gradient.size() >= kRiders);
  const std::span<float> values = gradient.first(gradient.size() - kRiders);
  const std::span<float> riders = gradient.last(kRiders);
  const int ranks = parts_.collective.size();
  if (ranks == 1) {  // there is nothing to share, but the next membership may wait
    MUSTER_TRY(parts_.collective.barrier(deadline_after(timeout_)));
    return StepSums{.loss = step.loss, .stop = step.stop};
  }
  weigh(values, step.share, ranks);
  riders[0] = loss_rider(step.loss, step.share);
  riders[1] = step.stop ? 1.0F : 0.0F;
  MUSTER_ASSIGN(const SyncCost cost, parts_.gradient_sum.sum(gradient, kRiders, step.number, step.dense));
  scale(values.data(), static_cast<float>(1.0 / static_cast<double>(ranks)), values.size());
  return StepSums{.loss = static_cast<double>(riders[0]) / static_cast<double>(step.share.all),
                  .stop = riders[1] > 0,
                  .cost = cost};
}

}  // namespace muster::worker
