// worker/engine/train_start.cc: the ranks of a membership agree on where they begin
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "worker/engine/train_run.h"

namespace muster::worker {
namespace {

// Of a state of any size: what a peer may make this rank take into its memory, in floats.
constexpr std::int64_t kStateMax = 64 << 20;
constexpr std::int64_t kStatesOfModel = 16;
constexpr std::int64_t kHistoryMax = 10 * static_cast<std::int64_t>(History::kPointsMax);  // of a peer

// Names of topologies are shorter.
using TopologyName = std::array<char, 24>;

std::string_view text_of(const TopologyName& name) {
  return {name.data(), static_cast<std::size_t>(std::ranges::find(name, '\0') - name.begin())};
}

TopologyName picked_for(int ranks, const learning::TrainingState& state) {
  TopologyName name{};
  const auto picked = state.topologies.find(ranks);
  if (picked != state.topologies.end())
    std::ranges::copy_n(picked->second.begin(), std::min(std::ssize(picked->second), std::ssize(name)),
                        name.begin());
  return name;
}

std::string_view shown(const std::array<char, 64>& digest) { return {digest.data(), 16}; }

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
  std::int64_t refused = 0;       // it could not resume: all end
  std::int64_t kept = 0;          // it was learnt in a membership before
  std::int64_t state_values = 0;  // of an optimizer whose state may be of any size
  double trained_seconds = 0;
  TopologyName topology{};  // picked for as many ranks; zeros: none
  std::int64_t has_ledger = 0;
  learning::Ledger ledger{};

  void take(const learning::TrainingState& state, int ranks) {
    step = state.step;
    epoch = state.epoch;
    into_epoch = state.examples_into_epoch;
    optimizer_steps = state.optimizer.steps;
    history_points = std::ssize(state.history);
    trained_seconds = state.trained_seconds;
    topology = picked_for(ranks, state);
    has_ledger = state.ledger ? 1 : 0;
    ledger = state.ledger.value_or(learning::Ledger());
  }
  // It may have reached places that the epoch has not: to find these is what it is for.
  [[nodiscard]] bool has_sound_ledger() const {
    return ledger.is_sound() && ledger.open().reached <= examples && ledger.fits(epoch);
  }
};

Status TrainLoop::agree_on_start(Run& run) {
  const Deadline deadline = deadline_after(options_.start_timeout);
  MUSTER_ASSIGN(const Choice choice, choose(parts_.collective, run.mine, deadline));
  const bool root = parts_.collective.rank() == choice.root;
  std::optional<learning::TrainingState>& state = run.mine.state;
  Start start{.parameter_count = parts_.model.parameter_count(), .examples = run.examples};
  std::ranges::copy_n(parts_.data.digest.begin(),
                      std::min(std::ssize(parts_.data.digest), std::ssize(start.data_digest)),
                      start.data_digest.begin());
  Status fits;
  const bool own = parts_.synchronizer.keeps_own_parameters();
  const bool have = state && (root || choice.all_have_it || own);  // what it begins with
  if (have) {
    fits = parts_.synchronizer.restore(state->optimizer);
    if (fits) fits = check_resume(*state, run.parameter_count, run.examples);
  }
  const bool any_size = parts_.synchronizer.has_state_of_any_size();
  if (root && any_size && !choice.all_have_it)
    start.state_values = std::ssize(parts_.synchronizer.shared_slots().front().values);
  if (state && root) {
    start.take(*state, parts_.collective.size());
    start.refused = fits ? 0 : 1;
    start.kept = run.mine.membership > 0 ? 1 : 0;
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
    received = parts_.model.initial_parameters(static_cast<std::uint64_t>(parts_.training.seed));
  if (!have && !root) received.resize(run.parameter_count);
  std::vector<float>& parameters = have ? state->parameters : received;
  if (!choice.all_have_it) {
    if (any_size && !root) parts_.synchronizer.make_room(static_cast<std::size_t>(start.state_values));
    std::vector<float> unwanted(have && !root ? run.parameter_count : 0);  // it has a model of its own
    MUSTER_TRY(share_state(choice.root, start, unwanted.empty() ? std::span(parameters) : std::span(unwanted),
                           points, deadline));
  }
  // A broadcast is over for its root before the others have come: it would wait for them in its first step,
  // with the shorter time of one.
  MUSTER_TRY(parts_.collective.barrier(deadline));
  parts_.synchronizer.set_steps(start.optimizer_steps);
  MUSTER_TRY(hooks_.task_failure());
  MUSTER_ASSIGN(const Synchronizer::Ahead ahead,
                parts_.synchronizer.begin({.step = start.step,
                                           .position = start.epoch * run.examples + start.into_epoch,
                                           .kept = start.kept != 0,
                                           .topology = text_of(start.topology)},
                                          parameters));
  if (parts_.writer != nullptr && root && run.mine.membership == 0) parts_.writer->note_stored(start.step);
  run.begin_with(std::move(parameters));
  run.history = History(std::move(points));
  if (state) run.topologies = std::move(state->topologies);
  if (const Settled sums = parts_.synchronizer.sums(); sums.picked)
    run.topologies[parts_.collective.size()] = sums.topology;
  run.mine = {};
  run.agreed = true;
  return begin_with(run, start, ahead);
}

Status TrainLoop::share_state(int root, const Start& start, std::span<float> parameters,
                              std::vector<learning::HistoryPoint>& points, Deadline deadline) {
  MUSTER_TRY(share(parts_.collective, root, parameters, parts_.synchronizer.shared_slots(), deadline));
  MUSTER_TRY(share(parts_.collective, root, points, start.history_points, deadline));
  std::int64_t at = 0;
  for (const learning::HistoryPoint& point : points) {
    if (point.at < at || point.at > start.step)
      return internal_error(fmt::format("rank {} tells a history that is none", root));
    at = point.at;
  }
  return {};
}

// Whether this rank can begin with what `root` has.
Status TrainLoop::compare(const Start& mine, const Start& theirs, int root) {
  const bool sound = theirs.step >= 0 && theirs.epoch >= 0 && theirs.optimizer_steps >= 0 &&
                     theirs.into_epoch >= 0 && theirs.has_sound_ledger() && theirs.history_points >= 0 &&
                     theirs.history_points <= kHistoryMax && theirs.trained_seconds >= 0 &&
                     theirs.state_values >= 0 &&
                     theirs.state_values <= kStateMax + kStatesOfModel * mine.parameter_count;
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

Status TrainLoop::begin_with(Run& run, const Start& start, const Synchronizer::Ahead& ahead) {
  const std::int64_t left =
      std::max<std::int64_t>(parts_.training.epochs - start.epoch, 0) * run.examples - start.into_epoch;
  if (ahead.examples > std::max<std::int64_t>(left, 0) || ahead.steps > ahead.examples)
    return internal_error(fmt::format(
        "the parameter servers have made {} updates of {} examples after step {}, where {} examples are left",
        ahead.steps, ahead.examples, start.step, left));
  const std::int64_t position = start.epoch * run.examples + start.into_epoch + ahead.examples;
  if (ahead.next_examples > run.examples - position % run.examples)
    return internal_error(fmt::format(
        "the parameter servers have trained on {} examples after step {}, where {} are left of the epoch",
        ahead.next_examples, start.step + ahead.steps, run.examples - position % run.examples));
  run.step = run.before = start.step + ahead.steps;
  run.epoch = start.epoch;
  run.ledger = start.ledger;
  if (start.has_ledger == 0) {
    enter_told(run, start.into_epoch);
  } else {
    run.into_epoch = start.into_epoch;
  }
  // Told before the first step, which may end an epoch: what comes then is new.
  if (!parts_.synchronizer.keeps_own_parameters()) run.progress.ledger = run.ledger;
  enter_told(run, ahead.examples);
  run.next_batch = ahead.next_examples;
  run.trained_seconds = start.trained_seconds;
  run.progress.resumed_from_step = start.step;
  if (!run.history.points().empty()) run.progress.loss = run.history.points().back().loss;
  const std::int64_t epochs_left = std::max<std::int64_t>(parts_.training.epochs - run.epoch, 0);
  run.progress.total_steps =
      run.step + (epochs_left == 0 ? 0
                                   : ceil_div(run.examples - run.into_epoch, run.global_batch) +
                                         (epochs_left - 1) * ceil_div(run.examples, run.global_batch));
  return {};
}

}  // namespace muster::worker
