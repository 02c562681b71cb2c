// aggregator/shell/coordinator_journal.cc: what the journal is told, in the order in which it happens
#include <algorithm>
#include <limits>
#include <utility>

#include "aggregator/shell/coordinator.h"
#include "aggregator/shell/coordinator_lock.h"
#include "pod/pod_contract.h"

namespace muster::agg {

using std::chrono::steady_clock;

namespace {

// Of a header. Where they matter they are checked against the spec, which is far below.
constexpr std::uint64_t kStepsMax = std::uint64_t{1} << 62;

constexpr double kNotTold = std::numeric_limits<double>::quiet_NaN();

// What cannot be, or was not asked for, counts as not told. `most`: examples that the client
// tests on.
DeviceFigures figures_of(const UploadHeader& header, const spec::Federation& federation, std::uint64_t most) {
  const auto share = [](bool told, double value) {
    return told && value >= 0 && value <= 1 ? static_cast<float>(value) : kNotMeasured;
  };
  const auto& asked = federation.personalization;
  const auto& told = header.held_out();
  if (!asked || !header.has_held_out() || told.examples() == 0 || told.examples() > most) return {};
  return {.examples = static_cast<float>(told.examples()),
          .global = share(true, told.global()),
          .tuned = share(told.has_tuned() && asked->fine_tune, told.tuned()),
          .personal = share(told.has_personal() && !asked->personal_layers.empty(), told.personal())};
}

UpdateKept update_of(const UploadHeader& header, const KnownTask& task, std::uint64_t sequence) {
  return {.sequence = sequence,
          .id = header.task_id(),
          .client = task.client,
          .number = task.number,
          .copies = task.copies,
          .examples = header.examples(),
          .weight = header.weight(),
          .steps = static_cast<std::int64_t>(std::min(header.steps(), kStepsMax)),
          .partial = header.partial(),
          .loss = header.has_loss() ? header.loss() : kNotTold,
          .accuracy = header.has_accuracy() ? header.accuracy() : kNotTold,
          .held_out = {},
          .sha256 = header.update_sha256()};
}

}  // namespace

void Coordinator::journal_effects(const Effects& effects) {
  TasksGiven given;
  const std::uint64_t cycle = machine_.counts().cycle;
  for (const Effect& effect : effects) {
    // One that is given again stands there already: who asks in a loop fills no disk.
    if (const auto* task = std::get_if<AssignTask>(&effect); task != nullptr && !task->again) {
      given.tasks.push_back({.id = task->task_id,
                             .client = task->client,
                             .number = task->round,
                             .copies = machine_.known(task->task_id)->copies,
                             .serial = task->serial,
                             .fate = TaskFate::kAssigned,
                             .cycle = cycle});
    } else if (const auto* forgotten = std::get_if<ForgetTask>(&effect);
               forgotten != nullptr && outlives_ == Outlives::kAll) {
      journal_->note(TaskOver{forgotten->task_id, TaskFate::kExpired});
    }
  }
  if (!given.tasks.empty()) journal_->note(std::move(given));
}

// On the thread of the aggregate: every update that is in it has been told.
void Coordinator::journal_closed(const Closed& closed, bool committed) {
  std::vector<TakenUpdate> taken = std::exchange(ledger_.taken, {});
  if (journal_ == nullptr) return;
  // Where late updates are of no use, those that still wait for their turn are late.
  const bool all = committed && outlives_ == Outlives::kNothing;
  journal_->close({.round = closed.round,
                   .cycle = closed.cycle,
                   .committed = committed,
                   .ends_tasks = outlives_ != Outlives::kAll,
                   .settled = all ? ledger_.next_sequence - 1 : ledger_.folded,
                   .taken = std::move(taken)},
                  ledger_.next_sequence, [this]() MUSTER_REQUIRES(mutex_) { return machine_.resume(); });
}

// Whether the journal gets no disk back before more updates come: all models are saved, and the aggregate has
// too few updates to close. Those pass its bound, else what was refused behind the journal could fill it for
// good.
bool Coordinator::ends_wait() const {
  const bool saved =
      !committing_ && to_commit_ == nullptr && next_ == nullptr && gathering_ == model_->round + 1;
  const bool rounds = spec::needs_of(options_.federation.strategy).rounds;
  return saved && machine_.counts().reported < (rounds ? options_.federation.cohort.minimum
                                                       : options_.federation.strategy.buffer_size);
}

// Its place in the journal is its place in the aggregate.
void Coordinator::keep(std::shared_ptr<UploadBuffer> buffer, UploadAnswer answer_call) {
  const UploadHeader& header = buffer->header();
  const KnownTask task = *machine_.known(header.task_id());
  UpdateKept update = update_of(header, task, ledger_.next_sequence++);
  const auto& most = options_.held_out_max;
  if (!most.empty())
    update.held_out = figures_of(header, options_.federation, most[static_cast<std::size_t>(task.client)]);
  const std::span<const float> values = buffer->values();
  Folding folding{
      .update = update, .values = values, .holder = std::move(buffer), .answer = std::move(answer_call)};
  const auto fold_later = [this](Folding it) {
    aggregate_.post(
        [this, it = std::move(it)](Strategy& strategy) mutable { fold(std::move(it), strategy); });
  };
  if (journal_ == nullptr) return fold_later(std::move(folding));
  journal_->keep(std::move(update), values, ends_wait(),
                 [this, fold_later, folding = std::move(folding)](Status kept) mutable {
                   if (kept) return fold_later(std::move(folding));
                   send_back(std::move(folding), kept.error());
                 });
}

// Nothing of it is kept; its client still has it.
void Coordinator::send_back(Folding folding, const Error& why) {
  folding.holder.reset();
  locked([&]() MUSTER_REQUIRES(mutex_) {
    const Instant now = steady_clock::now();
    metrics_.count_refused(Refusal::kNoDisk);
    journal_->note(TaskOver{folding.update.id, TaskFate::kAssigned});  // before what the step may close
    std::ignore = step(Returned{folding.update.id}, now);
    if (why.code != Code::kResourceExhausted) fail(kExitStorage, why.message, now);
  });
  folding.answer(resource_exhausted(why.message));
}

void Coordinator::abandoned(std::int64_t round) {
  const Status durable = journal_->sync(round);
  locked([&]() MUSTER_REQUIRES(mutex_) {
    if (stopping_) return;
    const Instant now = steady_clock::now();
    if (!durable) return fail(kExitStorage, durable.error().message, now);
    if (--abandoning_.attempts > 0) return;
    for (const AssignTask& task : std::exchange(abandoning_.held_back, {})) apply(task, now);
  });
}

void Coordinator::clear_journal() {
  if (journal_ != nullptr) journal_->clear();
}

}  // namespace muster::agg
