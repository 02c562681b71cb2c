#pragma once  // worker/parallel/local_steps.h: every rank trains by itself for some steps, then the ranks
              // take one step on the mean of what these changed
#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "learning/outer_step.h"
#include "worker/parallel/data_parallel.h"
#include "worker/parallel/synchronizer.h"

namespace muster::worker {

// A window of local steps: all ranks begin with the same parameters w, each makes steps of its own (inner)
// optimizer, and the mean of their changes, weighted by examples, is the Delta of learning::outer. So a
// window of H steps costs the exchange of one. Source: Stich, ICLR 2019 (local SGD: the plain mean);
// Douillard et al. 2023 (DiLoCo: AdamW inside, Nesterov outside).
//
// The ranks are in step where a window ends, and only there: a window that does not come to its exchange
// never was (undo). The inner optimizer's state is each rank's own and never exchanged, but with a joiner:
// then all take that of the rank whose state is taken.
//
// Memory: 2 P floats (w and the outer momentum; the changes are in the gradient's place) and the inner
// optimizer's state once more.
class LocalSteps final : public Synchronizer {
 public:
  struct Options {
    std::int64_t steps = 2;      // of a window
    std::size_t parameters = 0;  // P
    learning::OuterOptions outer;
    std::chrono::milliseconds timeout{60'000};  // of one collective call
  };
  // What `parts` names outlives it; its optimizer is the inner one.
  LocalSteps(DataParallel::Parts parts, Options options);

  [[nodiscard]] std::int64_t steps() const { return options_.steps; }
  // A window begins with `parameters` [P], which are the same on all ranks.
  void open(std::span<const float> parameters);
  // One step of the inner optimizer, for the gradient [P] of this rank's examples.
  void step(std::span<float> parameters, std::span<const float> gradient) {
    inner_.step(parameters, gradient);
  }
  // The window that is open does not count: `parameters` and the inner optimizer are what they were before
  // it; but an optimizer with a state of any size, a program's, keeps what it has learnt.
  void undo(std::span<float> parameters);

  Status restore(const learning::OptimizerState& state) override;
  Result<learning::OptimizerState> capture() override { return kept(); }
  learning::OptimizerState kept() override;
  std::vector<learning::Optimizer::Slot> shared_slots() override;
  void set_steps(std::int64_t steps) override { inner_.set_steps(steps); }
  [[nodiscard]] bool has_state_of_any_size() const override { return inner_.has_state_of_any_size(); }
  void make_room(std::size_t values) override { inner_.make_room(values); }
  Result<Ahead> begin(const Beginning& where, std::span<float> parameters) override {
    return sum_.begin(where, parameters);
  }
  [[nodiscard]] Settled sums() const override { return sum_.sums(); }
  // Of a window: `step.loss` is the mean over this rank's examples in it, `step.share` what they are of all.
  // What goes into `gradient` is what the local steps changed, and what comes back is its mean over all.
  Result<StepSums> exchange(std::span<float> gradient, std::span<float> parameters,
                            const Step& step) override;
  // The outer step, from where the window began; it is over.
  void update(std::span<float> parameters, std::span<const float> mean_change) override;
  Status finish() override { return {}; }
  [[nodiscard]] std::uint64_t payload_bytes_sent() const override { return sum_.payload_bytes_sent(); }

 private:
  learning::Optimizer& inner_;
  Options options_;
  DataParallel sum_;
  learning::OuterState<float> outer_;
  bool open_ = false;
  std::vector<float> begun_with_;      // parameters of the window
  learning::OptimizerState begun_in_;  // the inner optimizer's, then
};

}  // namespace muster::worker
