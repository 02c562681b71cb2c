#pragma once  // worker/parallel/data_parallel.h: every rank's gradient of its own examples becomes the mean
              // over all
#include <chrono>
#include <cstdint>
#include <functional>
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

// Synchronous data parallelism on flat gradients. Each bucket is one all-reduce of payload; loss and stop
// flag ride behind the last one, so that they cost no latency of their own, and count as control, so that
// payload bytes are the formula's of the gradient alone.
class DataParallel {
 public:
  static constexpr std::size_t kRiders = 2;  // loss, stop flag

  struct Options {
    std::chrono::milliseconds timeout{60'000};       // of one collective call
    std::size_t bucket_elements = 16 * 1024 * 1024;  // of one all-reduce; bounds what a slow link holds up
  };
  DataParallel(Collective& collective, Options options) : collective_(collective), options_(options) {}

  // gradient: [P + kRiders]. The first P are the mean over this rank's examples (anything when it has none)
  // and become the mean over all examples of the global batch, the same bits on every rank; the others are
  // this call's. `loss`: mean over this rank's examples.
  // Errors: the collective's.
  [[nodiscard]] Result<StepSums> combine(std::span<float> gradient, double loss, bool stop, BatchShare share);

  // Sums of a few numbers over ranks (control traffic).
  [[nodiscard]] Status sum(std::span<float> values) {
    return collective_.all_reduce_sum(values, Traffic::kControl, deadline_after(options_.timeout));
  }

  // Payload bytes this rank sends for one gradient of `elements`, by the topology's formula.
  [[nodiscard]] std::uint64_t bytes_per_step(std::size_t elements) const;

 private:
  using Bucket = std::function<Status(std::size_t begin, std::size_t size, std::size_t riders)>;
  [[nodiscard]] Status for_each_bucket(std::size_t elements, const Bucket& call) const;

  Collective& collective_;
  Options options_;
};

}  // namespace muster::worker
