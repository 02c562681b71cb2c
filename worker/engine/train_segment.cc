// worker/engine/train_segment.cc: asynchronous updates from one meeting of all ranks to the next
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "worker/engine/train_run.h"

namespace muster::worker {

// All ranks meet where an epoch ends, to evaluate, and where a checkpoint is due: there everything before has
// been done, and nothing behind it.
std::int64_t TrainLoop::end_of_segment(const Run& run) const {
  const std::int64_t epoch_end = run.step + ceil_div(run.examples - run.into_epoch, run.global_batch);
  if (!parts_.training.checkpoint) return epoch_end;
  const std::int64_t every = parts_.training.checkpoint->every_steps;
  return std::min(epoch_end, (run.step / every + 1) * every);
}

Status TrainLoop::segment(Run& run) {
  AsynchronousUpdates& updates = *parts_.asynchronous;
  const std::int64_t last = end_of_segment(run);
  const Instant begun = hooks_.now();
  const auto meet = [this] { return parts_.collective.barrier(deadline_after(options_.timeout)); };
  Laps laps(hooks_.now, run.progress);
  MUSTER_TRY(meet());
  MUSTER_ASSIGN(AsynchronousUpdates::Turn turn, updates.open(run.step, last, run.position(), run.parameters));
  laps.add(Activity::kExchange);
  run.segment_rows.clear();
  std::int64_t mine_not_finite = 0;
  while (!turn.over) {
    if (turn.batch < run.step || turn.batch >= last)
      return internal_error(
          fmt::format("a parameter server gives out update {} of {} to {}", turn.batch, run.step, last));
    MUSTER_ASSIGN(turn, update_once(run, turn));
    mine_not_finite += turn.mine_not_finite;
    report(run);
  }
  Laps end(hooks_.now, run.progress);
  // A meeting, too. Whoever had no batch after it was asked to stop tells so here, and all agree.
  float stop = turn.stop || hooks_.stop_requested() ? 1.0F : 0.0F;
  MUSTER_TRY(sum(std::span(&stop, 1)));
  MUSTER_ASSIGN(const AsynchronousUpdates::Turn all, updates.settle(run.parameters));
  const std::int64_t count =
      std::min((turn.batch - run.step) * run.global_batch, run.examples - run.into_epoch);
  MUSTER_ASSIGN(const Trained trained, look_up_segment(run, turn.batch, all));
  MUSTER_TRY(note_not_finite(run,
                             {.step = turn.batch, .steps = turn.batch - run.step, .elements = all.not_finite},
                             mine_not_finite));
  end.add(Activity::kExchange);
  MUSTER_TRY(check_loss(all.loss, turn.batch));
  if (run.into_epoch == 0) run.epoch_loss = run.epoch_examples = 0;
  run.epoch_loss += all.loss;
  run.epoch_examples += static_cast<double>(all.examples);
  enter(run, count, trained);
  run.before = std::exchange(run.step, turn.batch);
  run.trained_seconds += seconds_since(begun);
  run.segment_examples = 0;
  run.stop = stop > 0;
  run.history.add({.at = run.step, .loss = run.progress.loss, .accuracy = std::nullopt});
  return {};
}

// What became of the segment's examples, up to the update `end`. Of updates that were made in a membership
// before, the servers tell that they were made, and of the others the digest.
Result<TrainLoop::Trained> TrainLoop::look_up_segment(Run& run, std::int64_t end,
                                                      const AsynchronousUpdates::Turn& all) {
  const std::int64_t count = std::min((end - run.step) * run.global_batch, run.examples - run.into_epoch);
  const auto planned = rows_of(run, run.into_epoch, count);
  if (all.examples >= count) return look_up(planned, run.segment_rows, all.rows);
  MUSTER_ASSIGN(const std::vector<std::int64_t> done, done_before(run, end));
  std::vector<std::int64_t> given;
  given.reserve(planned.size());
  for (std::int64_t update = run.step; update < end; ++update) {
    if (std::ranges::binary_search(done, update)) continue;
    const std::int64_t begin = (update - run.step) * run.global_batch;
    const auto rows = planned.subspan(static_cast<std::size_t>(begin),
                                      static_cast<std::size_t>(std::min(run.global_batch, count - begin)));
    given.insert(given.end(), rows.begin(), rows.end());
  }
  MUSTER_ASSIGN(Trained trained, look_up(given, run.segment_rows, all.rows));
  trained.planned = learning::digest_of_rows(planned);
  return trained;
}

// Rank 0 tells all.
Result<std::vector<std::int64_t>> TrainLoop::done_before(const Run& run, std::int64_t end) {
  std::vector<std::int64_t> done;
  for (const std::int64_t update : parts_.asynchronous->done_before())
    if (update >= run.step && update < end) done.push_back(update);
  std::int64_t count = std::ssize(done);
  const Deadline deadline = deadline_after(options_.timeout);
  MUSTER_TRY(parts_.collective.broadcast(std::as_writable_bytes(std::span(&count, 1)), 0, deadline));
  if (count < 0 || count > end - run.step)
    return internal_error(fmt::format("rank 0 tells of {} updates before, of {}", count, end - run.step));
  done.resize(static_cast<std::size_t>(count));
  MUSTER_TRY(parts_.collective.broadcast(std::as_writable_bytes(std::span(done)), 0, deadline));
  if (!std::ranges::is_sorted(done)) return internal_error("rank 0 tells of updates that are in no order");
  return done;
}

// The gradient of one batch, on whatever parameters the servers had.
Result<AsynchronousUpdates::Turn> TrainLoop::update_once(Run& run, const AsynchronousUpdates::Turn& turn) {
  const std::int64_t begin = run.into_epoch + (turn.batch - run.step) * run.global_batch;
  const std::int64_t count = std::min(run.global_batch, run.examples - begin);
  Laps laps(hooks_.now, run.progress);
  const auto rows = rows_of(run, begin, count);
  run.segment_rows.insert(run.segment_rows.end(), rows.begin(), rows.end());
  const double loss = parts_.model.gradient(run.parameters, parts_.data.train, rows,
                                            std::span(run.gradient).first(run.parameter_count));
  laps.add(Activity::kGradient);
  MUSTER_TRY(hooks_.task_failure());
  MUSTER_ASSIGN(AsynchronousUpdates::Turn next,
                parts_.asynchronous->push(run.gradient, run.parameters,
                                          {.loss = loss,
                                           .stop = hooks_.stop_requested(),
                                           .share = {.mine = count, .all = count},
                                           .rows = learning::digest_of_rows(rows),
                                           .number = turn.batch,
                                           .position = run.position()}));
  laps.add(Activity::kExchange);
  const std::int64_t fresh = next.examples - turn.examples;  // of all ranks
  const double mean = fresh > 0 ? (next.loss - turn.loss) / static_cast<double>(fresh) : loss;
  MUSTER_TRY(check_loss(mean, turn.batch + 1));
  run.segment_examples = std::min(next.examples, run.examples - run.into_epoch);
  run.progress.loss = mean;
  run.progress.payload_bytes_expected += next.cost.payload_bytes;
  run.history.add({.at = run.step + ceil_div(run.segment_examples, run.global_batch),
                   .loss = mean,
                   .accuracy = std::nullopt});
  run.rate.add(static_cast<double>(fresh), hooks_.now());
  return next;
}

}  // namespace muster::worker
