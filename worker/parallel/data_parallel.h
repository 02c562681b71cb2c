#pragma once  // worker/parallel/data_parallel.h: every rank's gradient of its own examples becomes the mean
              // over all, and every rank makes the optimizer's step
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "worker/collective/collective.h"
#include "worker/parallel/bucket_plan.h"
#include "worker/parallel/bucket_runner.h"
#include "worker/parallel/gradient_sum.h"
#include "worker/parallel/synchronizer.h"

namespace muster::worker {

// Synchronous data parallelism on flat gradients. Loss, stop flag and what else the ranks tell each other
// ride behind the gradient, so that they cost no latency of their own, and count as control, so that payload
// bytes are the formula's of the gradient alone. With more than one bucket, those that are final are summed
// on a thread of its own while the others are still computed (bucket_runner.h): the same sums, in the same
// order, whatever the moment.
class DataParallel final : public Synchronizer {
 public:
  struct Parts {  // all outlive it
    Collective& collective;
    GradientSum& gradient_sum;
    learning::Optimizer& optimizer;
  };
  // `timeout`: of one collective call. `plan`: buckets of the gradient (bucket_plan.h), the same on all
  // ranks; more than one where gradient_sum sums any part by itself, as dense_sum does. Empty: one.
  enum class Memory {
    kOwn,    // a bucket is summed in place as soon as it is final
    kShared  // a program reads its own gradient until the exchange: sums that are early go into a copy
  };
  DataParallel(Parts parts, std::chrono::milliseconds timeout, std::vector<Bucket> plan = {},
               Memory memory = Memory::kOwn);
  // Where a step was expected that did not come to its exchange, the collective is aborted.
  ~DataParallel() override;
  DataParallel(const DataParallel&) = delete;
  DataParallel& operator=(const DataParallel&) = delete;

  Status restore(const learning::OptimizerState& state) override {
    return learning::restore(parts_.optimizer, state);
  }
  Result<learning::OptimizerState> capture() override { return learning::capture(parts_.optimizer); }
  learning::OptimizerState kept() override { return learning::capture(parts_.optimizer); }
  std::vector<learning::Optimizer::Slot> shared_slots() override { return parts_.optimizer.slots(); }
  void set_steps(std::int64_t steps) override { parts_.optimizer.set_steps(steps); }
  [[nodiscard]] bool has_state_of_any_size() const override {
    return parts_.optimizer.has_state_of_any_size();
  }
  void make_room(std::size_t values) override { parts_.optimizer.make_room(values); }
  Result<Ahead> begin(const Beginning& where, std::span<float> parameters) override;
  [[nodiscard]] Settled sums() const override { return sums_; }
  learning::Model::Ready expect(std::span<float> gradient, const BatchShare& share) override;
  Result<StepSums> exchange(std::span<float> gradient, std::span<float> parameters,
                            const Step& step) override;
  void update(std::span<float> parameters, std::span<const float> gradient) override {
    parts_.optimizer.step(parameters, gradient);
  }
  Status finish() override { return {}; }
  [[nodiscard]] std::uint64_t payload_bytes_sent() const override {
    return parts_.collective.bytes_sent().payload;
  }

 private:
  void begin_step(std::span<float> gradient, const BatchShare& share);
  [[nodiscard]] Status sum_bucket(std::span<float> values);
  [[nodiscard]] Status sum_early(const Bucket& bucket);
  [[nodiscard]] Result<Riders> sum_last(const Bucket& bucket, const Step& step);
  [[nodiscard]] Status sum(std::span<float> values, std::size_t riders, const Step& step);

  Parts parts_;
  std::chrono::milliseconds timeout_;
  std::vector<Bucket> plan_;
  Memory memory_;
  std::vector<float> early_;  // where it is shared: the buckets that are summed before the exchange
  Settled sums_;
  // Of the step under way; whoever sums a bucket uses them.
  std::span<float> gradient_;
  BatchShare share_;
  SyncCost cost_;
  std::int64_t not_finite_ = 0;           // of this rank
  std::unique_ptr<BucketRunner> runner_;  // of a plan of more than one; last: its thread uses the others
};

}  // namespace muster::worker
