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
#include "worker/parallel/asynchronous.h"
#include "worker/parallel/synchronizer.h"

namespace muster::worker {

// What the training thread spends its time on.
enum class Activity : std::size_t {
  kGradient,    // forward and backward pass
  kExchange,    // waiting for other ranks and the network: communication that nothing hides
  kUpdate,      // the optimizer's step
  kEvaluation,  // of the test examples
  kCheckpoint,  // copying the state, waiting for the checkpoint before; writing goes on beside
};
inline constexpr std::array<std::string_view, 5> kActivities{"gradient", "exchange", "update", "evaluation",
                                                             "checkpoint"};

// Which rank takes longest for a gradient, and how many times as long as the median one. Waiting for others
// is no part of it, so that the one that all wait for stands out.
struct Slowest {
  int rank = 0;
  double slowdown = 1;  // >= 1
  double mine = 1;      // this rank's time, in the median's
};

// In which step elements of gradients were no finite numbers, and of which rank: the first of those that had
// any, with how many it had. Where ranks tell each other less often, in which of the `steps` up to `step`
// nobody knows.
struct NotFinite {
  std::int64_t step = 0;
  std::int64_t steps = 1;
  int rank = 0;
  std::int64_t elements = 0;
};
[[nodiscard]] std::string steps_of(const NotFinite& first);  // "at step 5", "in steps 2 to 9"

struct Progress {
  std::int64_t step = 0;
  std::int64_t total_steps = 0;
  double epoch = 0;
  double loss = 0;                           // of the last global batch
  std::optional<learning::Evaluation> test;  // the last evaluation
  double examples_per_second = 0;            // of the whole job, smoothed over some seconds
  std::uint64_t payload_bytes_sent = 0;
  std::uint64_t payload_bytes_expected = 0;
  std::uint64_t gradient_bytes = 0;
  std::string_view topology;   // by which gradients are summed; empty: none are
  double trained_seconds = 0;  // of the steps that the parameters hold, in whatever process and membership
  std::optional<Slowest> slowest;    // of the ranks, for the last steps
  std::optional<double> distance;    // Synchronizer::distance
  std::int64_t dense_buckets = 0;    // since this loop began: compression would have sent more
  std::int64_t not_finite = 0;       // elements of gradients, of all ranks; since this loop began
  std::int64_t mine_not_finite = 0;  // of this rank
  std::optional<NotFinite> first_not_finite;
  // Of the epochs that this rank's parameters hold; nullopt: each rank has examples of its own.
  std::optional<learning::Ledger> ledger;
  std::int64_t resumed_from_step = 0;
  std::int64_t checkpoints_skipped = 0;              // because the one before was still being written
  std::array<double, kActivities.size()> seconds{};  // by Activity, since this loop began
};

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
  [[nodiscard]] Status step(Run& run);
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
  [[nodiscard]] bool checkpoint_is_due(std::int64_t step) const;
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
