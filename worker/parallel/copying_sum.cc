// worker/parallel/copying_sum.cc: in between is a copy
#include <algorithm>
#include <utility>
#include <vector>

#include "worker/parallel/gradient_sum.h"

namespace muster::worker {
namespace {

class CopyingSum final : public GradientSum {
 public:
  explicit CopyingSum(std::unique_ptr<GradientSum> sum) : sum_(std::move(sum)) {}

  Result<SyncCost> sum(std::span<float> gradient, std::size_t riders, std::int64_t step,
                       bool dense) override {
    copy_.assign(gradient.begin(), gradient.end());
    MUSTER_ASSIGN(const SyncCost cost, sum_->sum(copy_, riders, step, dense));
    std::ranges::copy(copy_, gradient.begin());
    return cost;
  }

 private:
  std::unique_ptr<GradientSum> sum_;
  std::vector<float> copy_;
};

}  // namespace

std::unique_ptr<GradientSum> copying_sum(std::unique_ptr<GradientSum> sum) {
  return std::make_unique<CopyingSum>(std::move(sum));
}

}  // namespace muster::worker
