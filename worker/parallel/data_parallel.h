#pragma once  // worker/parallel/data_parallel.h: every rank's gradient of its own examples becomes the mean
              // over all
#include <chrono>
#include <cstdint>
#include <span>

#include "worker/collective/collective.h"
#include "worker/parallel/gradient_sum.h"

namespace muster::worker {

struct BatchShare {       // of one global batch
  std::int64_t mine = 0;  // examples of this rank; may be 0
  std::int64_t all = 0;   // of all ranks, >= 1; the same number everywhere
};

struct StepSums {     // what the ranks learn from each other beside the gradient
  double loss = 0;    // mean over the global batch
  bool stop = false;  // some rank was asked to stop
  SumCost cost{};     // of this rank
};

// Synchronous data parallelism on flat gradients. Loss and stop flag ride behind the gradient, so that they
// cost no latency of their own, and count as control, so that payload bytes are the formula's of the gradient
// alone.
class DataParallel {
 public:
  static constexpr std::size_t kRiders = 2;  // loss, stop flag

  // Both outlive it. `timeout`: of one collective call.
  DataParallel(Collective& collective, GradientSum& gradient_sum, std::chrono::milliseconds timeout)
      : collective_(collective), gradient_sum_(gradient_sum), timeout_(timeout) {}

  struct Step {
    double loss = 0;    // mean over this rank's examples
    bool stop = false;  // this rank was asked to stop
    BatchShare share;
    std::int64_t number = 0;  // the same on all ranks
    bool dense = false;       // nothing is compressed; likewise
  };
  // gradient: [P + kRiders]. The first P are the mean over this rank's examples (anything when it has none)
  // and become the mean over all examples of the global batch, the same bits on every rank; the others are
  // this call's. Errors: the collective's.
  [[nodiscard]] Result<StepSums> combine(std::span<float> gradient, const Step& step);

  // Sums of a few numbers over ranks (control traffic).
  [[nodiscard]] Status sum(std::span<float> values) {
    return collective_.all_reduce_sum(values, Traffic::kControl, deadline_after(timeout_));
  }

 private:
  Collective& collective_;
  GradientSum& gradient_sum_;
  std::chrono::milliseconds timeout_;
};

}  // namespace muster::worker
