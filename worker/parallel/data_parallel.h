#pragma once  // worker/parallel/data_parallel.h: every rank's gradient of its own examples becomes the mean
              // over all
#include <chrono>
#include <cstdint>
#include <span>

#include "worker/collective/collective.h"

namespace muster::worker {

struct BatchShare {       // of one global batch
  std::int64_t mine = 0;  // examples of this rank; may be 0
  std::int64_t all = 0;   // of all ranks, >= 1; the same number everywhere
};

struct StepSums {     // what the ranks learn from each other beside the gradient
  double loss = 0;    // mean over the global batch
  bool stop = false;  // some rank was asked to stop
};

// Synchronous data parallelism on flat gradients. Each bucket is one ring all-reduce of payload; loss and
// stop flag go in a second, tiny one that counts as control, so that payload bytes are the formula's of the
// gradient alone.
class DataParallel {
 public:
  struct Options {
    std::chrono::milliseconds timeout{60'000};       // of one collective call
    std::size_t bucket_elements = 16 * 1024 * 1024;  // of one all-reduce; bounds what a slow link holds up
  };
  DataParallel(Collective& collective, Options options) : collective_(collective), options_(options) {}

  // gradient: [P], the mean over this rank's examples (anything when it has none); becomes the mean over all
  // examples of the global batch, the same bits on every rank. `loss`: mean over this rank's examples.
  // Errors: the collective's.
  [[nodiscard]] Result<StepSums> combine(std::span<float> gradient, double loss, bool stop, BatchShare share);

  // Sums of a few numbers over ranks (control traffic).
  [[nodiscard]] Status sum(std::span<float> values) {
    return collective_.all_reduce_sum(values, Traffic::kControl, deadline_after(options_.timeout));
  }

  // Payload bytes this rank sends for one gradient of `elements`, by the ring's formula.
  [[nodiscard]] std::uint64_t bytes_per_step(std::size_t elements) const;

 private:
  Collective& collective_;
  Options options_;
};

}  // namespace muster::worker
