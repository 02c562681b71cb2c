// worker/engine/train_window.cc: local steps from one exchange of all ranks to the next
#include <algorithm>

#include "worker/engine/train_run.h"

namespace muster::worker {

// The same batches in the same order as without local steps, but each rank goes on from its own parameters. A
// window ends with its epoch, where all evaluate. One that is broken off did not happen: the next membership
// trains on its examples again.
Status TrainLoop::window(Run& run) {
  const std::int64_t left = ceil_div(run.examples - run.into_epoch, run.global_batch);
  const std::int64_t steps = std::min(parts_.local->steps(), left);
  Worked worked{.begun = hooks_.now(),
                .ordinary = run.into_epoch > 0 && !checkpoint_is_due(run.before, run.step) &&
                            !checkpoint_is_due(run.step, run.step + steps),
                .steps = steps};
  parts_.local->open(run.parameters);
  run.segment_rows.clear();
  const auto work = [&]() -> Status {
    for (std::int64_t i = 0; i < steps; ++i) {
      MUSTER_TRY(local_step(run, worked));
      if (i + 1 < steps) report(run);
    }
    if (worked.share.mine > 0) worked.loss /= static_cast<double>(worked.share.mine);
    worked.rows = run.segment_rows;
    MUSTER_TRY(await_program(run));
    limit_waits(run, worked.ordinary);
    Laps laps(hooks_.now, run.progress);
    return complete(run, worked, laps);
  };
  if (Status done = work(); !done) {
    parts_.local->undo(run.parameters);
    run.segment_examples = 0;
    return done;
  }
  ++run.progress.outer_steps;
  return {};
}

// Behind its last step a program does what it likes with memory that it shares. It is asked for a batch of
// nothing: then it has done, and keeps its hands off.
Status TrainLoop::await_program(Run& run) {
  if (parts_.gradient.empty()) return {};
  static_cast<void>(parts_.model.gradient(run.parameters, parts_.data.train, {},
                                          std::span(run.gradient).first(run.parameter_count)));
  return hooks_.task_failure();
}

// `worked.loss` is the sum until the window ends.
Status TrainLoop::local_step(Run& run, Worked& worked) {
  const std::int64_t begin = run.into_epoch + run.segment_examples;
  const std::int64_t all = std::min(run.global_batch, run.examples - begin);
  const Slice mine = slice_of(all, parts_.collective.rank(), parts_.collective.size());
  Laps laps(hooks_.now, run.progress);
  if (mine.size() > 0) {
    const auto rows = rows_of(run, begin + mine.begin, mine.size());
    const std::span<float> gradient = std::span(run.gradient).first(run.parameter_count);
    const double loss = parts_.model.gradient(run.parameters, parts_.data.train, rows, gradient);
    laps.add(Activity::kGradient);
    MUSTER_TRY(hooks_.task_failure());
    parts_.local->step(run.parameters, gradient);
    laps.add(Activity::kUpdate);
    MUSTER_TRY(hooks_.task_failure());
    run.segment_rows.insert(run.segment_rows.end(), rows.begin(), rows.end());
    worked.loss += loss * static_cast<double>(mine.size());
    if (run.history.points().empty()) run.progress.loss = loss;  // of this rank, until all tell theirs
  }
  worked.share.mine += mine.size();
  worked.share.all += all;
  run.segment_examples += all;
  run.rate.add(static_cast<double>(all), hooks_.now());
  // Whoever is lost, is lost for the whole window: there is no use in the rest of it.
  return parts_.collective.state();
}

}  // namespace muster::worker
