// worker/engine/train_loop.cc: batches, gradients, steps, evaluations and checkpoints in their order
#include "worker/engine/train_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "common/base/check.h"
#include "learning/doubts.h"
#include "worker/engine/batches.h"
#include "worker/engine/rate.h"
#include "worker/parallel/data_parallel.h"

namespace muster::worker {
namespace {

constexpr std::int64_t kHistoryMax = 10 * static_cast<std::int64_t>(History::kPointsMax);  // of a peer

std::string_view shown(const std::array<char, 64>& digest) { return {digest.data(), 16}; }

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Adds the time since it was made, or since the last call, to an activity's.
class Laps {
 public:
  Laps(const std::function<Instant()>& now, Progress& progress)
      : now_(now), progress_(progress), from_(now()) {}
  void add(Activity activity) {
    const Instant until = now_();
    progress_.seconds[static_cast<std::size_t>(activity)] +=
        std::chrono::duration<double>(until - from_).count();
    from_ = until;
  }

 private:
  const std::function<Instant()>& now_;
  Progress& progress_;
  Instant from_;
};

// Whether a rank can go on from `state` with this model and this data.
Status check_resume(const learning::TrainingState& state, std::size_t parameters, std::int64_t examples) {
  if (state.parameters.size() != parameters) {
    return invalid_argument(
        fmt::format("the checkpoint of step {} has {} parameters, the model {}; use another "
                    "checkpoint.path or remove the files",
                    state.step, state.parameters.size(), parameters));
  }
  if (state.examples_into_epoch >= examples) {
    return invalid_argument(
        fmt::format("the checkpoint of step {} is {} examples into an epoch, but the dataset has {} training "
                    "examples now; restore the dataset or use another checkpoint.path",
                    state.step, state.examples_into_epoch, examples));
  }
  return {};
}

}  // namespace

// What the rank whose state is taken tells the others; parameters, optimizer slots and history follow.
struct TrainLoop::Start {
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  std::int64_t into_epoch = 0;
  std::int64_t optimizer_steps = 0;
  std::int64_t parameter_count = 0;
  std::int64_t examples = 0;
  std::array<char, 64> data_digest{};
  std::int64_t history_points = 0;
  std::int64_t refused = 0;  // it could not resume: all end
};

struct TrainLoop::Run {
  Run(Parts& parts, const Options& options)
      : parallel(parts.collective, parts.gradient_sum, options.timeout),
        parameter_count(static_cast<std::size_t>(parts.task.parameter_count())),
        gradient(parameter_count + DataParallel::kRiders),
        examples(parts.data.train.size()),
        global_batch(parts.training.batch_size * parts.collective.size()),
        test_part(cut(parts.data.test,
                      slice_of(parts.data.test.size(), parts.collective.rank(), parts.collective.size()))) {}

  Learnt mine;          // until the ranks have agreed
  bool agreed = false;  // the rest holds what is learnt
  DataParallel parallel;
  Rate rate{Instant{}};  // begins when the ranks do: who waits for the others' data does not train
  std::size_t parameter_count;
  std::vector<float> parameters;
  std::vector<float> gradient;  // and the riders behind it
  std::int64_t examples;        // of an epoch
  std::int64_t global_batch;
  learning::Examples test_part;

  std::int64_t step = 0;        // completed
  std::int64_t epoch = 0;       // completed
  std::int64_t into_epoch = 0;  // examples of the present epoch that are done
  double epoch_loss = 0;        // sum over the examples of the present or last epoch that this process saw
  double epoch_examples = 0;
  std::int64_t ordered_epoch = -1;
  std::vector<std::int64_t> order;  // of ordered_epoch
  bool stop = false;
  History history;
  Progress progress;
};

TrainLoop::TrainLoop(Parts parts, Options options, Hooks hooks)
    : parts_(parts), options_(options), hooks_(std::move(hooks)) {}
TrainLoop::~TrainLoop() = default;

Result<TrainLoop::Outcome> TrainLoop::run(Learnt mine) {
  run_ = std::make_unique<Run>(parts_, options_);
  Run& run = *run_;
  run.mine = std::move(mine);
  if (parts_.data.train.size() == 0) return invalid_argument("the dataset has no training examples");
  MUSTER_TRY(agree_on_start(run));
  // The evaluation may be what a lost peer prevented, and is all that a finished training still has to tell.
  if (run.epoch > 0 && run.into_epoch == 0) MUSTER_TRY(evaluate(run));
  run.rate = Rate(hooks_.now());
  report(run);
  const auto finished = [&] { return run.epoch >= parts_.training.epochs; };
  while (!finished() && !run.stop) {
    Status done = step(run);
    if (done && run.into_epoch == 0) done = evaluate(run);
    if (!done) return give_up(run, done.error());
    report(run);
    const bool due = checkpoint_is_due(run.step);
    if (run.stop && !finished()) MUSTER_TRY(save(run));
    if (due && !run.stop && !finished()) MUSTER_TRY(save_beside(run));
  }
  // What comes next removes the checkpoints: not before all ranks can do without them.
  if (finished()) {
    if (const Status ended = parts_.collective.barrier(deadline_after(options_.timeout)); !ended)
      return give_up(run, ended.error());
  }
  if (parts_.writer != nullptr) MUSTER_TRY(parts_.writer->await());
  return Outcome{.state = state_of(run),
                 .stopped = run.stop && !finished(),
                 .doubt = finished() ? doubt_of(run) : std::nullopt};
}

Learnt TrainLoop::learnt() {
  MUSTER_CHECK(run_ != nullptr);
  if (!run_->agreed) return std::move(run_->mine);
  learning::TrainingState state{.step = run_->step,
                                .epoch = run_->epoch,
                                .examples_into_epoch = run_->into_epoch,
                                .parameters = std::move(run_->parameters),
                                .optimizer = learning::capture(parts_.optimizer),
                                .history = run_->history.points()};
  run_.reset();
  return {.state = std::move(state), .membership = options_.membership};
}

// The step before goes dense: with nothing left out, a checkpoint needs nothing of what compression keeps.
bool TrainLoop::checkpoint_is_due(std::int64_t step) const {
  return parts_.training.checkpoint && step % parts_.training.checkpoint->every_steps == 0;
}

// In this membership the job cannot go on, and nobody knows whether there will be another with these ranks:
// what was learnt up to the last whole step goes to storage, too, but the next membership does not wait for
// a checkpoint that is under way.
Error TrainLoop::give_up(Run& run, const Error& why) {
  using std::chrono::milliseconds;
  if (run.step == 0 || why.code == Code::kInvalidArgument) return why;
  if (parts_.writer != nullptr && !parts_.writer->is_free(milliseconds(0))) return why;
  const Status saved = save(run);
  return saved ? why : saved.error();
}

Status TrainLoop::agree_on_start(Run& run) {
  const Deadline deadline = deadline_after(options_.start_timeout);
  MUSTER_ASSIGN(const Choice choice, choose(parts_.collective, run.mine, deadline));
  const bool root = parts_.collective.rank() == choice.root;
  std::optional<learning::TrainingState>& state = run.mine.state;
  Start start{.parameter_count = parts_.task.parameter_count(), .examples = run.examples};
  std::ranges::copy_n(parts_.data.digest.begin(),
                      std::min(std::ssize(parts_.data.digest), std::ssize(start.data_digest)),
                      start.data_digest.begin());
  Status fits;
  const bool have = state && (root || choice.all_have_it);  // what all begin with
  if (have) {
    fits = learning::restore(parts_.optimizer, state->optimizer);
    if (fits) fits = check_resume(*state, run.parameter_count, run.examples);
  }
  if (state && root) {
    start.step = state->step;
    start.epoch = state->epoch;
    start.into_epoch = state->examples_into_epoch;
    start.optimizer_steps = state->optimizer.steps;
    start.history_points = std::ssize(state->history);
    start.refused = fits ? 0 : 1;
  }
  const Start mine = start;
  MUSTER_TRY(
      parts_.collective.broadcast(std::as_writable_bytes(std::span(&start, 1)), choice.root, deadline));
  MUSTER_TRY(fits);
  MUSTER_TRY(compare(mine, start, choice.root));
  // What this rank brought stays as it is until all have agreed.
  std::vector<float> received;
  std::vector<learning::HistoryPoint> points;
  if (have) points = state->history;
  if (!have && root)
    received = parts_.task.initial_parameters(static_cast<std::uint64_t>(parts_.training.seed));
  if (!have && !root) received.resize(run.parameter_count);
  std::vector<float>& parameters = have ? state->parameters : received;
  if (!choice.all_have_it) {
    MUSTER_TRY(share(parts_.collective, choice.root, parameters, parts_.optimizer, deadline));
    MUSTER_TRY(share(parts_.collective, choice.root, points, start.history_points, deadline));
    std::int64_t at = 0;
    for (const learning::HistoryPoint& point : points) {
      if (point.at < at || point.at > start.step)
        return internal_error(fmt::format("rank {} tells a history that is none", choice.root));
      at = point.at;
    }
  }
  // A broadcast is over for its root before the others have come: it would wait for them in its first step,
  // with the shorter time of one.
  MUSTER_TRY(parts_.collective.barrier(deadline));
  if (parts_.writer != nullptr && root && run.mine.membership == 0) parts_.writer->note_stored(start.step);
  run.parameters = std::move(parameters);
  run.history = History(std::move(points));
  run.mine = {};
  run.agreed = true;
  begin_with(run, start);
  return {};
}

// Whether this rank can begin with what `root` has.
Status TrainLoop::compare(const Start& mine, const Start& theirs, int root) {
  const bool sound = theirs.step >= 0 && theirs.epoch >= 0 && theirs.optimizer_steps >= 0 &&
                     theirs.into_epoch >= 0 && theirs.history_points >= 0 &&
                     theirs.history_points <= kHistoryMax;
  if (!sound)
    return internal_error(
        fmt::format("rank {} begins with a state that is none; is its image this worker's?", root));
  if (theirs.refused != 0)
    return unavailable(fmt::format("rank {} could not resume from its checkpoint", root));
  if (theirs.parameter_count != mine.parameter_count || theirs.examples != mine.examples) {
    return invalid_argument(
        fmt::format("rank {} has {} parameters and {} training examples, this rank {} and {}: the dataset "
                    "must be the same on all workers",
                    root, theirs.parameter_count, theirs.examples, mine.parameter_count, mine.examples));
  }
  if (theirs.into_epoch >= mine.examples)
    return internal_error(
        fmt::format("rank {} is {} examples into an epoch of {}", root, theirs.into_epoch, mine.examples));
  if (theirs.data_digest != mine.data_digest) {
    return invalid_argument(fmt::format(
        "rank {}'s examples have the digest {}, this rank's {}: the dataset must be the same on all "
        "workers; compare its files",
        root, shown(theirs.data_digest), shown(mine.data_digest)));
  }
  return {};
}

void TrainLoop::begin_with(Run& run, const Start& start) {
  parts_.optimizer.set_steps(start.optimizer_steps);
  run.step = start.step;
  run.epoch = start.epoch;
  run.into_epoch = start.into_epoch;
  run.progress.resumed_from_step = start.step;
  if (!run.history.points().empty()) run.progress.loss = run.history.points().back().loss;
  const std::int64_t epochs_left = std::max<std::int64_t>(parts_.training.epochs - run.epoch, 0);
  run.progress.total_steps =
      run.step + (epochs_left == 0 ? 0
                                   : ceil_div(run.examples - run.into_epoch, run.global_batch) +
                                         (epochs_left - 1) * ceil_div(run.examples, run.global_batch));
}

Status TrainLoop::step(Run& run) {
  if (run.ordered_epoch != run.epoch) {
    run.order = epoch_order(static_cast<std::uint64_t>(parts_.training.seed), run.epoch, run.examples);
    run.ordered_epoch = run.epoch;
  }
  const std::int64_t all = std::min(run.global_batch, run.examples - run.into_epoch);
  const Slice mine = slice_of(all, parts_.collective.rank(), parts_.collective.size());
  const auto rows = std::span(run.order).subspan(static_cast<std::size_t>(run.into_epoch + mine.begin),
                                                 static_cast<std::size_t>(mine.size()));
  Laps laps(hooks_.now, run.progress);
  double loss = 0;
  const std::span<float> gradient = std::span(run.gradient).first(run.parameter_count);
  if (!rows.empty()) loss = parts_.task.gradient(run.parameters, parts_.data.train, rows, gradient);
  laps.add(Activity::kGradient);
  MUSTER_ASSIGN(const StepSums sums,
                run.parallel.combine(run.gradient, {.loss = loss,
                                                    .stop = hooks_.stop_requested(),
                                                    .share = {.mine = mine.size(), .all = all},
                                                    .number = run.step,
                                                    .dense = checkpoint_is_due(run.step + 1)}));
  laps.add(Activity::kExchange);
  if (!std::isfinite(sums.loss)) {
    return invalid_argument(
        fmt::format("the loss is {} at step {}: the training diverged or the data holds such values; lower "
                    "spec.training.optimizer.learningRate (now {}) or check the dataset",
                    learning::loss_text(sums.loss), run.step + 1, parts_.training.optimizer.learning_rate));
  }
  parts_.optimizer.step(run.parameters, gradient);
  laps.add(Activity::kUpdate);
  ++run.step;
  if (run.into_epoch == 0) run.epoch_loss = run.epoch_examples = 0;
  run.epoch_loss += sums.loss * static_cast<double>(all);
  run.epoch_examples += static_cast<double>(all);
  run.into_epoch += all;
  if (run.into_epoch >= run.examples) {
    ++run.epoch;
    run.into_epoch = 0;
  }
  run.stop = sums.stop;
  run.progress.loss = sums.loss;
  run.progress.payload_bytes_expected += sums.cost.payload_bytes;
  run.progress.dense_buckets += sums.cost.dense_buckets;
  run.history.add({.at = run.step, .loss = run.progress.loss, .accuracy = std::nullopt});
  run.rate.add(static_cast<double>(all), hooks_.now());
  return {};
}

Status TrainLoop::evaluate(Run& run) {
  const std::int64_t tested = parts_.data.test.size();
  if (tested == 0) return {};
  Laps laps(hooks_.now, run.progress);
  const learning::Evaluation part = parts_.task.evaluate(run.parameters, run.test_part);
  laps.add(Activity::kEvaluation);
  const auto size = static_cast<double>(run.test_part.size());
  std::array<float, 2> sums{static_cast<float>(part.loss * size),
                            static_cast<float>(std::round(part.accuracy * size))};
  MUSTER_TRY(run.parallel.sum(sums));
  laps.add(Activity::kExchange);
  run.progress.test =
      learning::Evaluation{.loss = static_cast<double>(sums[0]) / static_cast<double>(tested),
                           .accuracy = static_cast<double>(sums[1]) / static_cast<double>(tested)};
  if (!std::isfinite(run.progress.test->loss)) {
    return invalid_argument(fmt::format(
        "the test loss is {} after step {}: the training diverged; lower "
        "spec.training.optimizer.learningRate (now {})",
        learning::loss_text(run.progress.test->loss), run.step, parts_.training.optimizer.learning_rate));
  }
  run.history.add({.at = run.step, .loss = run.progress.loss, .accuracy = run.progress.test->accuracy});
  return {};
}

// A storage that is slower than the interval loses a checkpoint, not the job its pace.
Status TrainLoop::save_beside(Run& run) {
  Laps laps(hooks_.now, run.progress);
  Status saved;
  if (parts_.writer != nullptr && !parts_.writer->is_free(options_.checkpoint_patience)) {
    ++run.progress.checkpoints_skipped;
  } else {
    saved = save(run);
  }
  laps.add(Activity::kCheckpoint);
  return saved;
}

Status TrainLoop::save(Run& run) {
  if (parts_.writer == nullptr || parts_.writer->has(run.step)) return {};
  return parts_.writer->begin(state_of(run));
}

learning::TrainingState TrainLoop::state_of(Run& run) {
  return {.step = run.step,
          .epoch = run.epoch,
          .examples_into_epoch = run.into_epoch,
          .parameters = run.parameters,
          .optimizer = learning::capture(parts_.optimizer),
          .history = run.history.points()};
}

std::optional<std::string> TrainLoop::doubt_of(const Run& run) const {
  if (run.history.points().empty() || run.epoch_examples == 0) return std::nullopt;
  return learning::doubt_about(
      {.first_loss = run.history.points().front().loss,
       .last_loss = run.epoch_loss / run.epoch_examples,
       .accuracy = run.progress.test ? std::optional(run.progress.test->accuracy) : std::nullopt,
       .classes = parts_.data.train.class_count,
       .steps = run.step});
}

void TrainLoop::report(Run& run) {
  Progress& progress = run.progress;
  progress.step = run.step;
  progress.epoch = static_cast<double>(run.epoch) +
                   static_cast<double>(run.into_epoch) / static_cast<double>(run.examples);
  progress.examples_per_second = run.rate.per_second();
  progress.payload_bytes_sent = parts_.collective.bytes_sent().payload;
  progress.gradient_bytes = run.parameter_count * sizeof(float);
  hooks_.progress(progress, run.history);
}

}  // namespace muster::worker
