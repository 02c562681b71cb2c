#pragma once  // worker/parallel/low_rank_sum.h: sums by PowerSGD: two thin matrices in place of each
#include <memory>
#include <span>

#include "common/codec/power_sgd.h"
#include "worker/parallel/gradient_sum.h"

namespace muster::worker {

// Both messages of PowerSGD are linear, so they take the collective's topology; its feedback is part of it.
class LowRankSum final : public GradientSum {
 public:
  LowRankSum(std::size_t rank, Collective& collective, std::span<const learning::Tensor> tensors,
             const SumOptions& options);
  Result<SyncCost> sum(std::span<float> gradient, std::size_t riders, std::int64_t step, bool dense) override;

 private:
  Collective& collective_;
  codec::PowerSgd power_;
  std::unique_ptr<GradientSum> dense_;
  std::vector<float> message_;  // with the riders behind
};

}  // namespace muster::worker
