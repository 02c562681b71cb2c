// worker/engine/train_loop.cc: batches, gradients, steps, evaluations and checkpoints in their order
#include "worker/engine/train_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "common/base/check.h"
#include "learning/doubts.h"
#include "worker/engine/train_run.h"

namespace muster::worker {

namespace {

constexpr std::int64_t kStepsOfALook = 50;
constexpr float kLeastMedian = 0.05F;  // seconds of gradients in all steps of a look

// Seconds of gradients, by rank.
std::optional<Slowest> slowest_of(const std::vector<float>& seconds, std::size_t mine) {
  std::vector<float> sorted = seconds;
  const auto median = sorted.begin() + (std::ssize(sorted) - 1) / 2;
  std::ranges::nth_element(sorted, median);
  const auto slowest = std::ranges::max_element(seconds);
  if (!(*median > kLeastMedian)) return std::nullopt;  // noise
  return Slowest{.rank = static_cast<int>(slowest - seconds.begin()),
                 .slowdown = static_cast<double>(*slowest) / static_cast<double>(*median),
                 .mine = static_cast<double>(seconds[mine]) / static_cast<double>(*median)};
}

}  // namespace

TrainLoop::TrainLoop(Parts parts, Options options, Hooks hooks)
    : parts_(parts), options_(options), hooks_(std::move(hooks)) {}
TrainLoop::~TrainLoop() = default;

Result<TrainLoop::Outcome> TrainLoop::run(Learnt mine) {
  run_ = std::make_unique<Run>(
      parts_, Patience(options_.least_patience.value_or(options_.timeout), options_.timeout));
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
    Status done = advance(run);
    if (done) done = look_for_slowest(run);
    if (done && run.into_epoch == 0) done = evaluate(run);
    if (!done) return give_up(run, done.error());
    report(run);
    const bool due = checkpoint_is_due(run.before, run.step);
    if (run.stop && !finished()) MUSTER_TRY(save(run));
    if (due && !run.stop && !finished()) MUSTER_TRY(save_beside(run));
  }
  auto state = state_of(run);
  if (!state) return give_up(run, state.error());
  // What comes next removes the checkpoints, or ends the mesh: not before all ranks can do without them.
  const Status together = parts_.collective.barrier(deadline_after(options_.timeout));
  if (finished() && !together) return give_up(run, together.error(), *std::move(state));
  // A server that is lost now takes nothing with it: what it had is here.
  if (finished()) static_cast<void>(parts_.synchronizer.finish());
  if (parts_.writer != nullptr) MUSTER_TRY(parts_.writer->await());
  return Outcome{.state = *std::move(state),
                 .stopped = run.stop && !finished(),
                 .doubt = finished() ? doubt_of(run) : std::nullopt};
}

Status TrainLoop::advance(Run& run) {
  if (parts_.asynchronous != nullptr) return segment(run);
  return parts_.local != nullptr ? window(run) : step(run);
}

Learnt TrainLoop::learnt() {
  MUSTER_CHECK(run_ != nullptr);
  if (!run_->agreed) return std::move(run_->mine);
  learning::TrainingState state{.step = run_->step,
                                .epoch = run_->epoch,
                                .examples_into_epoch = run_->into_epoch,
                                .parameters = run_->give_parameters(),
                                .optimizer = parts_.synchronizer.kept(),
                                .history = run_->history.points(),
                                .trained_seconds = run_->trained_seconds,
                                .topologies = run_->topologies,
                                .ledger = run_->progress.ledger};
  // Of a segment that did not come to its end, the servers know what counts.
  std::erase_if(state.history, [&](const learning::HistoryPoint& point) { return point.at > state.step; });
  run_.reset();
  return {.state = std::move(state), .membership = options_.membership};
}

// Where steps come one by one at each multiple of the interval, else at the first meeting behind it. What
// leads to it goes dense: with nothing left out, a checkpoint needs nothing of what compression keeps.
bool TrainLoop::checkpoint_is_due(std::int64_t before, std::int64_t after) const {
  if (!parts_.training.checkpoint) return false;
  const std::int64_t every = parts_.training.checkpoint->every_steps;
  return before / every != after / every;
}

// In this membership the job cannot go on, and nobody knows whether there will be another with these ranks:
// what was learnt up to the last whole step goes to storage, too, but the next membership does not wait for
// a checkpoint that is under way.
Error TrainLoop::give_up(Run& run, const Error& why, std::optional<learning::TrainingState> at_hand) {
  using std::chrono::milliseconds;
  if (run.step == 0 || why.code == Code::kInvalidArgument) return why;
  if (parts_.writer != nullptr && !parts_.writer->is_free(milliseconds(0))) return why;
  if (parts_.writer == nullptr || parts_.writer->has(run.step)) return why;
  auto state = at_hand ? Result<learning::TrainingState>(*std::move(at_hand)) : state_of(run);
  if (!state) return why;  // parameter servers have a part of it, and are out of reach
  const Status saved = parts_.writer->begin(*std::move(state));
  return saved ? why : saved.error();
}

// Of the present epoch's order.
std::span<const std::int64_t> TrainLoop::rows_of(Run& run, std::int64_t begin, std::int64_t count) {
  if (run.ordered_epoch != run.epoch) {
    run.order = epoch_order(static_cast<std::uint64_t>(parts_.training.seed), run.epoch, run.examples);
    run.ordered_epoch = run.epoch;
  }
  return std::span(run.order).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
}

Status TrainLoop::check_loss(double loss, std::int64_t step) const {
  if (std::isfinite(loss)) return {};
  const auto& first = run_->progress.first_not_finite;
  const std::string began = first
                                ? fmt::format("; {} elements of rank {}'s gradient were no finite numbers {}",
                                              first->elements, first->rank, steps_of(*first))
                                : "";
  if (parts_.training.program)
    return invalid_argument(fmt::format(
        "the loss that the programs told is {} at step {}: the training diverged or the data holds "
        "such values; lower the learning rate or check the dataset{}",
        learning::loss_text(loss), step, began));
  return invalid_argument(
      fmt::format("the loss is {} at step {}: the training diverged or the data holds such values; lower "
                  "spec.training.optimizer.learningRate (now {}) or check the dataset{}",
                  learning::loss_text(loss), step, parts_.training.optimizer.learning_rate, began));
}

// What only some ranks do before such a step, or send in it, is in no step's time.
Status TrainLoop::step(Run& run) {
  const std::int64_t usual = run.next_batch > 0 ? run.next_batch : run.global_batch;
  const std::int64_t all = std::min(usual, run.examples - run.into_epoch);
  const Slice mine = slice_of(all, parts_.collective.rank(), parts_.collective.size());
  const auto rows = parts_.own != nullptr
                        ? parts_.own->take(run.position() / parts_.collective.size(), mine.size())
                        : rows_of(run, run.into_epoch + mine.begin, mine.size());
  Worked worked{.begun = hooks_.now(),
                .ordinary = run.into_epoch > 0 && !checkpoint_is_due(run.before, run.step) &&
                            !checkpoint_is_due(run.step, run.step + 1),
                .share = {.mine = mine.size(), .all = all},
                .rows = rows};
  Laps laps(hooks_.now, run.progress);
  limit_waits(run, worked.ordinary);
  const std::span<float> gradient = std::span(run.gradient).first(run.parameter_count);
  const auto ready = parts_.synchronizer.expect(run.gradient, worked.share);
  // Who shares the memory is asked also without rows: while it answers, it keeps its hands off the sum.
  if (!rows.empty() || !parts_.gradient.empty())
    worked.loss = parts_.model.gradient_by_parts(run.parameters, parts_.data.train, rows, gradient, ready);
  laps.add(Activity::kGradient);
  MUSTER_TRY(hooks_.task_failure());
  MUSTER_TRY(complete(run, worked, laps));
  run.rate.add(static_cast<double>(all), hooks_.now());
  return {};
}

void TrainLoop::limit_waits(Run& run, bool ordinary) {
  if (options_.least_patience && ordinary)
    parts_.collective.limit_waits(std::chrono::ceil<std::chrono::milliseconds>(run.patience.limit()));
}

// The exchange, and what follows from it.
Status TrainLoop::complete(Run& run, const Worked& worked, Laps& laps) {
  const std::int64_t all = worked.share.all;
  const std::int64_t after = run.step + worked.steps;
  const auto sums = parts_.synchronizer.exchange(run.gradient, run.parameters,
                                                 {.loss = worked.loss,
                                                  .stop = hooks_.stop_requested(),
                                                  .share = worked.share,
                                                  .rows = learning::digest_of_rows(worked.rows),
                                                  .number = run.step,
                                                  .position = run.position(),
                                                  .dense = checkpoint_is_due(run.step, after)});
  parts_.collective.limit_waits(std::nullopt);
  if (!sums) return sums.error();
  Trained trained;
  if (sums->rows) {
    MUSTER_ASSIGN(trained, look_up(rows_of(run, run.into_epoch, all), worked.rows, *sums->rows));
  }
  const std::int64_t steps = std::max(sums->steps, worked.steps);
  MUSTER_TRY(note_not_finite(run, {.step = after, .steps = steps, .elements = sums->not_finite},
                             sums->mine_not_finite));
  laps.add(Activity::kExchange);
  MUSTER_TRY(check_loss(sums->loss, after));
  parts_.synchronizer.update(run.parameters, std::span(run.gradient).first(run.parameter_count));
  laps.add(Activity::kUpdate);
  MUSTER_TRY(hooks_.task_failure());
  run.before = std::exchange(run.step, after);
  const double took = seconds_since(worked.begun);
  run.trained_seconds += took;
  if (worked.ordinary) run.patience.took(Patience::Duration(took));
  run.next_batch = 0;
  if (run.into_epoch == 0) run.epoch_loss = run.epoch_examples = 0;
  run.epoch_loss += sums->loss * static_cast<double>(all);
  run.epoch_examples += static_cast<double>(all);
  run.segment_examples = 0;
  enter(run, all, trained);
  run.stop = sums->stop;
  run.progress.loss = sums->loss;
  run.progress.payload_bytes_expected += sums->cost.payload_bytes;
  run.progress.dense_buckets += sums->cost.dense_buckets;
  run.progress.distance = parts_.synchronizer.distance();
  run.history.add({.at = run.step, .loss = run.progress.loss, .accuracy = std::nullopt});
  return {};
}

Status TrainLoop::evaluate(Run& run) {
  const std::int64_t tested = parts_.data.test.size();
  if (tested == 0) return {};
  Laps laps(hooks_.now, run.progress);
  const learning::Evaluation part = parts_.model.evaluate(run.parameters, run.test_part);
  laps.add(Activity::kEvaluation);
  const auto size = static_cast<double>(run.test_part.size());
  std::array<float, 2> sums{static_cast<float>(part.loss * size),
                            static_cast<float>(std::round(part.accuracy * size))};
  MUSTER_TRY(sum(sums));
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

// Asynchronous ranks meet at a segment's end only.
Status TrainLoop::look_for_slowest(Run& run) {
  const int ranks = parts_.collective.size();
  const bool due = parts_.asynchronous != nullptr || run.before / kStepsOfALook != run.step / kStepsOfALook;
  if (ranks == 1 || !due) return {};
  double& all = run.progress.seconds[static_cast<std::size_t>(Activity::kGradient)];
  const auto mine = static_cast<std::size_t>(parts_.collective.rank());
  std::vector<float> seconds(static_cast<std::size_t>(ranks));
  seconds[mine] = static_cast<float>(all - std::exchange(run.looked_seconds, all));
  MUSTER_TRY(sum(seconds));
  run.progress.slowest = slowest_of(seconds, mine);
  return {};
}

// Over the ranks; control traffic.
Status TrainLoop::sum(std::span<float> values) {
  return parts_.collective.all_reduce_sum(values, Traffic::kControl, deadline_after(options_.timeout));
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
  MUSTER_ASSIGN(learning::TrainingState state, state_of(run));
  return parts_.writer->begin(std::move(state));
}

// On ranks that write it with the optimizer's state, on others with what they keep.
Result<learning::TrainingState> TrainLoop::state_of(Run& run) {
  learning::OptimizerState optimizer;
  if (parts_.writer != nullptr || parts_.collective.rank() == 0) {
    MUSTER_ASSIGN(optimizer, parts_.synchronizer.capture());
  } else {
    optimizer = parts_.synchronizer.kept();
  }
  MUSTER_TRY(hooks_.task_failure());
  return learning::TrainingState{.step = run.step,
                                 .epoch = run.epoch,
                                 .examples_into_epoch = run.into_epoch,
                                 .parameters = {run.parameters.begin(), run.parameters.end()},
                                 .optimizer = std::move(optimizer),
                                 .history = run.history.points(),
                                 .trained_seconds = run.trained_seconds,
                                 .topologies = run.topologies,
                                 .ledger = run.progress.ledger};
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
  if (const auto accuracy = hooks_.told_accuracy()) {
    progress.test = learning::Evaluation{.loss = progress.loss, .accuracy = *accuracy};
    run.history.add({.at = run.step, .loss = progress.loss, .accuracy = accuracy});
  }
  progress.step = run.step + ceil_div(run.segment_examples, run.global_batch);
  progress.epoch =
      static_cast<double>(run.epoch) +
      static_cast<double>(run.into_epoch + run.segment_examples) / static_cast<double>(run.examples);
  progress.examples_per_second = run.rate.per_second();
  progress.topology = parts_.synchronizer.sums().topology;
  progress.trained_seconds = run.trained_seconds;
  progress.payload_bytes_sent = parts_.synchronizer.payload_bytes_sent();
  progress.gradient_bytes = run.parameter_count * sizeof(float);
  hooks_.progress(progress, run.history);
}

}  // namespace muster::worker
