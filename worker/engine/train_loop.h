#pragma once  // worker/engine/train_loop.h: one rank's training from its first to its last step
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/spec/training.h"
#include "learning/checkpoint.h"
#include "learning/dataset.h"
#include "learning/model.h"
#include "worker/collective/collective.h"
#include "worker/engine/agreement.h"
#include "worker/engine/batches.h"
#include "worker/engine/checkpoint_writer.h"
#include "worker/engine/history.h"
#include "worker/engine/progress.h"
#include "worker/parallel/asynchronous.h"
#include "worker/parallel/local_steps.h"
#include "worker/parallel/synchronizer.h"

namespace muster::worker {

class Laps;

// Synchronous data parallelism: at each step the job trains on batchSize * size() examples in a seeded order
// of the epoch, each rank on its contiguous slice, so n workers and one worker with n times the batch size
// follow the same curve within rounding. The epoch's last batch may be smaller; gradients are weighted by
// examples.
class TrainLoop {
 public:
  struct Parts {             // all outlive the loop
    Collective& collective;  // of the ranks that train
    learning::Model& model;
    Synchronizer& synchronizer;
    const spec::Training& training;
    const learning::Dataset& data;
    AsynchronousUpdates* asynchronous = nullptr;  // in place of exchange and update
    LocalSteps* local = nullptr;                  // the synchronizer, where it is that: windows of steps
    OwnExamples* own = nullptr;                   // this rank trains on these alone
    CheckpointWriter* writer = nullptr;           // of rank 0, where there are checkpoints
    // Memory that the model shares with somebody: parameters [P] and gradient [P + Synchronizer::kRiders].
    // Empty: the loop's own.
    std::span<float> parameters{};
    std::span<float> gradient{};
  };
  struct Options {
    std::int64_t membership = 1;                       // >= 1
    std::chrono::milliseconds timeout{60'000};         // of one collective call
    std::chrono::milliseconds start_timeout{600'000};  // until all have begun: they load data first
    // Of a step's exchange, at least, where the steps before were short (patience.h). nullopt: `timeout`
    // always, as where a user's program does between two steps what it likes.
    std::optional<std::chrono::milliseconds> least_patience{5'000};
    // How long a due checkpoint waits for the one before, so that very short intervals skip none.
    std::chrono::milliseconds checkpoint_patience{100};
  };
  struct Hooks {
    std::function<Instant()> now = [] { return std::chrono::steady_clock::now(); };
    std::function<bool()> stop_requested = [] { return false; };
    // Of whoever makes gradients and steps: asked after each, an error ends the training.
    std::function<Status()> task_failure = [] { return Status(); };
    // Accuracy that the model measured itself, since it was asked before.
    std::function<std::optional<double>()> told_accuracy = [] { return std::nullopt; };
    std::function<void(const Progress&, const History&)> progress = [](const auto&, const auto&) {
    };  // each step
  };
  TrainLoop(Parts parts, Options options, Hooks hooks);
  ~TrainLoop();

  struct Outcome {
    learning::TrainingState state;  // after the last completed step
    bool stopped = false;           // some rank was asked to stop; the checkpoint is written
    // Why the model is probably no good, for the user; on rank 0, where all epochs are done.
    std::optional<std::string> doubt{};
  };
  // All ranks begin with what one of them brings (agreement.h). A checkpoint that is due while the one before
  // is still written is skipped; an error of the writer ends the training at the next one or the end. Where
  // the training is finished, all ranks have finished it, so that nobody needs a checkpoint of it any more.
  // Errors: those of the collective and of the writer; kInvalidArgument: the loss is not finite (names step
  // and remedy), a checkpoint that does not fit, a rank that has other data than the one that begins.
  [[nodiscard]] Result<Outcome> run(Learnt mine);
  // After an error of run: what it has learnt up to the last whole step, or what was brought, to go on with
  // in the next membership. Call once.
  [[nodiscard]] Learnt learnt();

 private:
  struct Run;
  struct Start;
  [[nodiscard]] Status agree_on_start(Run& run);
  [[nodiscard]] static Status compare(const Start& mine, const Start& theirs, int root);
  [[nodiscard]] Status share_state(int root, const Start& start, std::span<float> parameters,
                                   std::vector<learning::HistoryPoint>& points, Deadline deadline);
  [[nodiscard]] Status begin_with(Run& run, const Start& start, const Synchronizer::Ahead& ahead);
  struct Worked;
  [[nodiscard]] Status advance(Run& run);
  [[nodiscard]] Status step(Run& run);
  [[nodiscard]] Status window(Run& run);
  [[nodiscard]] Status local_step(Run& run, Worked& worked);
  [[nodiscard]] Status await_program(Run& run);
  void limit_waits(Run& run, bool ordinary);
  [[nodiscard]] Status complete(Run& run, const Worked& worked, Laps& laps);
  [[nodiscard]] Status segment(Run& run);
  [[nodiscard]] std::int64_t end_of_segment(const Run& run) const;
  [[nodiscard]] Result<AsynchronousUpdates::Turn> update_once(Run& run,
                                                              const AsynchronousUpdates::Turn& turn);
  [[nodiscard]] Status check_loss(double loss, std::int64_t step) const;
  [[nodiscard]] Status note_not_finite(Run& run, const NotFinite& seen, std::int64_t mine);
  struct Trained;
  [[nodiscard]] Result<Trained> look_up(std::span<const std::int64_t> planned,
                                        std::span<const std::int64_t> mine, std::uint64_t told);
  [[nodiscard]] Result<Trained> look_up_segment(Run& run, std::int64_t end,
                                                const AsynchronousUpdates::Turn& all);
  [[nodiscard]] Result<std::vector<std::int64_t>> done_before(const Run& run, std::int64_t end);
  void enter(Run& run, std::int64_t count, const Trained& trained);
  void enter_told(Run& run, std::int64_t count);
  [[nodiscard]] std::span<const std::int64_t> rows_of(Run& run, std::int64_t begin, std::int64_t count);
  [[nodiscard]] double seconds_since(Instant begun) const {
    return std::chrono::duration<double>(hooks_.now() - begun).count();
  }
  [[nodiscard]] Status evaluate(Run& run);
  [[nodiscard]] Status look_for_slowest(Run& run);
  [[nodiscard]] bool checkpoint_is_due(std::int64_t before, std::int64_t after) const;
  [[nodiscard]] Error give_up(Run& run, const Error& why,
                              std::optional<learning::TrainingState> at_hand = std::nullopt);
  [[nodiscard]] Status save_beside(Run& run);
  [[nodiscard]] Status save(Run& run);
  [[nodiscard]] Result<learning::TrainingState> state_of(Run& run);
  [[nodiscard]] Status sum(std::span<float> values);
  [[nodiscard]] std::optional<std::string> doubt_of(const Run& run) const;
  void report(Run& run);

  Parts parts_;
  Options options_;
  Hooks hooks_;
  std::unique_ptr<Run> run_;
};

}  // namespace muster::worker
