#pragma once  // worker/parallel/data_parallel.h: every rank's gradient of its own examples becomes the mean
              // over all, and every rank makes the optimizer's step
#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "worker/collective/collective.h"
#include "worker/parallel/gradient_sum.h"
#include "worker/parallel/synchronizer.h"

namespace muster::worker {

// Synchronous data parallelism on flat gradients. Loss and stop flag ride behind the gradient, so that they
// cost no latency of their own, and count as control, so that payload bytes are the formula's of the gradient
// alone.
class DataParallel final : public Synchronizer {
 public:
  struct Parts {  // all outlive it
    Collective& collective;
    GradientSum& gradient_sum;
    learning::Optimizer& optimizer;
  };
  // `timeout`: of one collective call.
  DataParallel(Parts parts, std::chrono::milliseconds timeout) : parts_(parts), timeout_(timeout) {}

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
  Parts parts_;
  std::chrono::milliseconds timeout_;
  Settled sums_;
};

}  // namespace muster::worker
