// aggregator/shell/coordinator_rounds.cc: effects of the round machine, and its timer; coordinator_models.cc
// is what makes a model of a round
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <set>
#include <utility>

#include "aggregator/round/buffer.h"
#include "aggregator/round/round.h"
#include "aggregator/shell/coordinator.h"
#include "aggregator/shell/coordinator_lock.h"
#include "common/base/check.h"
#include "common/base/hex.h"
#include "common/crypto/hkdf.h"
#include "common/platform/log.h"
#include "pod/pod_contract.h"

namespace muster::agg {
namespace {

using federation::v1::CheckInReply;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kTaskIdBytes = 16;
constexpr int kQuietFactor = 3;  // as a round may be tried three times

// Whoever knows a task's name could try to answer for it: it is not to be guessed.
std::string random_task_id() {
  const auto bytes = random_key(kTaskIdBytes);
  MUSTER_CHECK(bytes);
  return hex_of(*bytes);
}

std::unique_ptr<FederationMachine> machine_of(const CoordinatorOptions& options, std::int64_t committed) {
  const spec::Federation& federation = options.federation;
  const auto seed = static_cast<std::uint64_t>(federation.training.seed);
  const milliseconds deadline =
      options.report_deadline.value_or(std::chrono::seconds(federation.stragglers.deadline_seconds));
  const Instant now = steady_clock::now();
  const std::int64_t rounds = federation.rounds.value_or(std::numeric_limits<std::int64_t>::max());
  if (!spec::needs_of(federation.strategy).rounds)
    return std::make_unique<BufferMachine>(
        BufferOptions{.versions = rounds,
                      .committed = committed,
                      .clients = federation.clients,
                      .at_work = federation.cohort.size,
                      .buffer = federation.strategy.buffer_size,
                      .staleness_max = federation.strategy.max_staleness,
                      .seed = seed,
                      .new_task_id = random_task_id,
                      .task_deadline = deadline,
                      .quiet_max = kQuietFactor * std::max(options.selection_timeout, deadline)},
        now);
  const bool by_size = federation.cohort.sampling == "BySize";
  return std::make_unique<RoundMachine>(
      RoundOptions{.rounds = rounds,
                   .first_round = committed + 1,
                   .clients = federation.clients,
                   .size = federation.cohort.size,
                   .selected = spec::selection_count(federation.cohort),
                   .minimum = federation.cohort.minimum,
                   .seed = seed,
                   .sizes = by_size ? options.examples_max : std::vector<std::uint64_t>(),
                   .late_counts = federation.stragglers.policy == "Buffer",
                   .new_task_id = random_task_id,
                   .selection_grace = options.selection_grace,
                   .selection_timeout = options.selection_timeout,
                   .report_deadline = deadline},
      now);
}

void tell(const learning::LocalSettings& settings, federation::v1::LocalSettings& told) {
  told.set_proximal_mu(settings.proximal_mu);
  told.set_control_variates(settings.control_variates);
  if (settings.fairness_q) told.set_fairness_q(*settings.fairness_q);
  if (!settings.meta) return;
  told.mutable_meta()->set_alpha(settings.meta->alpha);
  told.mutable_meta()->set_hessian_free(settings.meta->hessian_free);
}

std::vector<std::int64_t> counted_of(const CoordinatorOptions& options, const CommittedRound& start) {
  const auto clients = static_cast<std::size_t>(options.federation.clients);
  return start.counted.size() == clients ? start.counted : std::vector<std::int64_t>(clients);
}

// The machine has left it already.
Closed closed_now(const FederationMachine& machine, std::int64_t round) {
  const std::uint64_t cycle = machine.counts().cycle;
  return {.round = round, .cycle = cycle == 0 ? 0 : cycle - 1};
}

double seconds_between(Instant begin, Instant end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace

Coordinator::Coordinator(CoordinatorOptions options, CoordinatorPorts ports,
                         std::unique_ptr<Strategy> strategy, CommittedRound start, AggregatorMetrics& metrics,
                         Journaled journaled)
    : options_(std::move(options)),
      saved_first_(spec::keeps_client_state(options_.federation)),
      ports_(std::move(ports)),
      metrics_(metrics),
      outlives_(!spec::needs_of(options_.federation.strategy).rounds ? Outlives::kAll
                : options_.federation.stragglers.policy == "Buffer"  ? Outlives::kUploads
                                                                     : Outlives::kNothing),
      owned_machine_(machine_of(options_, start.round)),
      machine_(*owned_machine_),
      gathering_(start.round + 1),
      counted_(counted_of(options_, start)),
      devices_{.reports = {static_cast<std::size_t>(options_.federation.clients), start.devices},
               .drift = {}},
      model_(make_global_model(start.round, std::move(start.parameters), strategy->broadcast(),
                               counted_of(options_, start), std::nullopt, start.devices)),
      state_(strategy->state()),
      history_(std::move(start.history)),
      uploads_(std::max(options_.upload_memory_max, kUploadsMin * room_of_upload(model_->bytes()))),
      aggregate_(std::move(strategy)) {
  MUSTER_CHECK((ports_.evaluate || options_.federation.training.program) && ports_.save);
  if (journaled.journal != nullptr)
    journal_ = std::make_unique<JournalThread>(std::move(journaled.journal), metrics_);
  ledger_.next_sequence = journaled.recovered.next_sequence;
  owned_machine_->restore(journaled.recovered.resume, steady_clock::now());
  MUSTER_CHECK(options_.examples_max.empty() ||
               std::ssize(options_.examples_max) == options_.federation.clients);
  // A release that saved before it evaluated, and was killed between the two, left no point of the round.
  if (start.round > 0 && (history_.empty() || history_.back().at < start.round)) to_commit_ = model_;
  if (start.finished) {
    std::ignore =
        machine_.step(Stopped{"the federation had ended: its model is written"}, steady_clock::now());
    target_reached_ = reaches_target(history_);
  } else if (to_commit_ == nullptr && reaches_target(history_)) {  // killed before it could stop
    std::ignore = machine_.step(Stopped{fmt::format("round {} had reached the target of {}", start.round,
                                                    options_.federation.target->value)},
                                steady_clock::now());
    target_reached_ = true;
  }
  if (machine_.over()) outcome_ = Outcome{0, machine_.outcome()};
  metrics_.set_round(start.round, options_.federation.rounds.value_or(0));
  timer_ = std::thread([this] { run_timer(); });
  commits_ = std::thread([this] { run_commits(); });
  for (PendingUpdate& pending : journaled.recovered.tail)
    aggregate_.post([this, folding = Folding{.update = std::move(pending.update),
                                             .values = pending.values,
                                             .holder = std::move(pending.holder),
                                             .answer = {}}](Strategy& it) { fold(folding, it); });
}

Coordinator::~Coordinator() {
  locked([&]() MUSTER_REQUIRES(mutex_) {
    stopping_ = true;
    while (!held_.empty()) {
      CheckInReply reply;
      reply.mutable_come_back()->set_after_ms(0);
      answer(held_.begin()->first, std::move(reply));
    }
    commit_wake_.notify_all();
    changed_.notify_all();
  });
  timer_.join();
  commits_.join();
  if (journal_ != nullptr) journal_->stop();  // it hands updates to the aggregate, which notes what it does
}

Status Coordinator::step(const Event& event, Instant now) {
  MUSTER_ASSIGN(const Effects effects, machine_.step(event, now));
  apply(effects, now);
  for (const std::string& task_id : std::exchange(lapsed_, {})) std::ignore = step(Lapsed{task_id}, now);
  metrics_.set_connected(machine_.counts().connected);
  return {};
}

void Coordinator::apply(const Effects& effects, Instant now) {
  if (journal_ != nullptr) journal_effects(effects);
  for (const Effect& effect : effects)
    std::visit([&](const auto& it) MUSTER_REQUIRES(mutex_) { apply(it, now); }, effect);
}

void Coordinator::apply(const BeginRound& effect, Instant now) {
  MUSTER_CHECK(transfers_.empty() || outlives_ != Outlives::kNothing);
  round_began_ = now;
  spdlog::info("round {} begins round={} selected={}", effect.round, effect.round, effect.selected);
}

void Coordinator::apply(const AssignTask& effect, Instant now) {
  if (abandoning_.attempts > 0) return abandoning_.held_back.push_back(effect);
  CheckInReply reply;
  federation::v1::Task& task = *reply.mutable_task();
  task.set_round(effect.round);
  task.set_task_id(effect.task_id);
  task.set_model_bytes(model_->download_bytes());
  task.set_model_sha256(model_->sha256);
  tell(aggregate_.settings(), *task.mutable_settings());
  task.set_accept_partial(options_.federation.stragglers.policy == "AcceptPartial");
  // Rounded up: what the client says after its deadline comes after ours, and is late, not refused.
  task.set_serial(effect.serial);
  task.set_deadline_ms(
      std::max<std::int64_t>(0, std::chrono::ceil<milliseconds>(effect.deadline - now).count()));
  answer(effect.client, std::move(reply));
}

void Coordinator::apply(const CommitRound& effect, Instant now) {
  metrics_.observe_round(seconds_between(std::exchange(round_began_, Instant{}), now), true);
  spdlog::info("round {} is closed round={} reported={}", effect.round, effect.round, effect.reported);
  end_transfers(fmt::format("round {} is closed: {} updates came before this one was whole", effect.round,
                            effect.reported),
                outlives_);
  // Before the updates that wait: a buffer has so many and no more, and who missed his round may be for the
  // next.
  aggregate_.post_next([this, closed = closed_now(machine_, effect.round),
                        model = model_](Strategy& strategy) { finish(closed, model, strategy); });
}

void Coordinator::apply(const AbandonRound& effect, Instant now) {
  if (const Instant began = std::exchange(round_began_, Instant{}); began != Instant{}) {
    metrics_.observe_round(seconds_between(began, now), false);  // else it found too few clients to begin
  }
  spdlog::warn("round {} came to nothing: {} round={}", effect.round, effect.reason, effect.round);
  end_transfers(fmt::format("round {} came to nothing: {}", effect.round, effect.reason), outlives_);
  // What clients keep is of one attempt, and the next one's overwrites it: a loss of power must not bring
  // this one back once a client has a task of the next.
  const bool durable_first = saved_first_ && journal_ != nullptr;
  if (durable_first) ++abandoning_.attempts;
  aggregate_.post_next(
      [this, durable_first, closed = closed_now(machine_, effect.round)](Strategy& strategy) {
        strategy.discard();
        {
          const MutexLock lock(mutex_);
          counted_.discarded();
          devices_.reports.discarded();
          journal_closed(closed, false);
          told_ = {};
        }
        if (durable_first) abandoned(closed.round);
      });
}

// At once, whatever their clients do: an upload gives its room back, a download its model.
void Coordinator::end_transfers(const std::string& why, Outlives outlives) {
  if (outlives == Outlives::kAll) return;
  for (auto& [task_id, running] : transfers_) {
    if (running.download != nullptr) end_later(std::move(running.download), aborted(why));
    running.download.reset();
    if (outlives == Outlives::kUploads || running.upload == nullptr) continue;
    lapsed_.push_back(task_id);
    end_later(std::move(running.upload), aborted(why));
  }
  if (outlives == Outlives::kUploads) return forget_ended_transfers();
  transfers_.clear();
  uploads_.clear();
}

void Coordinator::apply(const ForgetTask& effect, Instant /*now*/) {
  uploads_.forget(effect.task_id);
  const auto it = transfers_.find(effect.task_id);
  if (it == transfers_.end()) return;
  for (TransferPointer* transfer : {&it->second.download, &it->second.upload})
    if (*transfer != nullptr) end_later(std::move(*transfer), aborted("the task is over: " + effect.why));
  transfers_.erase(it);
}

// Where there are no rounds a slow download keeps its version while an update of that would not be too old,
// so that a client comes to its end however fast versions follow each other. What is bounded is how many old
// models that keeps: the oldest stay, which are nearest to their end; the others begin anew with the newest.
void Coordinator::end_old_downloads() {
  constexpr std::size_t kOldVersions = 2;
  const std::int64_t oldest = model_->round - options_.federation.strategy.max_staleness;
  std::set<std::int64_t> kept;
  for (const auto& [task_id, running] : transfers_)
    if (running.download != nullptr && running.version >= oldest && running.version < model_->round)
      kept.insert(running.version);
  while (kept.size() > kOldVersions) kept.erase(std::prev(kept.end()));
  for (auto& [task_id, running] : transfers_) {
    if (running.download == nullptr || running.version == model_->round || kept.contains(running.version))
      continue;
    end_later(std::move(running.download), unavailable("there are newer versions of the model; begin anew"));
    running.download.reset();
  }
  forget_ended_transfers();
}

void Coordinator::forget_ended_transfers() {
  std::erase_if(transfers_, [](const auto& running) {
    return running.second.download == nullptr && running.second.upload == nullptr;
  });
}

void Coordinator::apply(const Dismiss& effect, Instant /*now*/) {
  CheckInReply reply;
  reply.mutable_done()->set_reason(machine_.outcome());
  reply.mutable_done()->set_failed(machine_.failed());
  dismissed_.insert(effect.client);
  answer(effect.client, std::move(reply));
  changed_.notify_all();
}

void Coordinator::apply(const Ended& effect, Instant /*now*/) {
  end_transfers("the federation is over: " + effect.reason, Outlives::kNothing);
  aggregate_.post([](Strategy& strategy) { strategy.discard(); });
  if (!outcome_)
    outcome_ = Outcome{!effect.failed ? 0 : effect.refused ? kExitInvalid : kExitRetry, effect.reason};
  spdlog::info("the federation is over: {}", effect.reason);
  changed_.notify_all();
}

void Coordinator::answer(ClientId client, CheckInReply reply) {
  tell_counted(client, reply);
  if (auto held = release(client)) {
    later_.answers.emplace_back([call = std::move(held->answer), reply = std::move(reply)] { call(reply); });
  }
}

void Coordinator::tell_counted(ClientId client, CheckInReply& reply) const {
  reply.set_counted_round(counted_.last(client));
  reply.set_undecided(counted_.undecided(client));
}

std::optional<Held> Coordinator::release(ClientId client) {
  const auto it = held_.find(client);
  if (it == held_.end()) return std::nullopt;
  Held held = std::move(it->second);
  held_.erase(it);
  expiries_.erase({held.expires, client});
  return held;
}

void Coordinator::fail(int exit_code, std::string message, Instant now) {
  if (machine_.over() && outcome_ && outcome_->exit_code != 0) return;
  outcome_ = Outcome{exit_code, message};
  spdlog::error("{}", message);
  std::ignore = step(Stopped{std::move(message), true}, now);
  changed_.notify_all();
}

bool Coordinator::reaches_target(const std::vector<learning::HistoryPoint>& history) const {
  const auto& target = options_.federation.target;
  return target && !history.empty() && history.back().accuracy >= target->value;
}

bool Coordinator::is_over() const {
  const bool failed = outcome_ && outcome_->exit_code != 0;
  return machine_.over() && (failed || (!committing_ && to_commit_ == nullptr));
}

void Coordinator::expire_held(Instant now) {
  while (!expiries_.empty() && expiries_.begin()->first <= now) {
    const ClientId client = expiries_.begin()->second;
    CheckInReply reply;
    reply.mutable_come_back()->set_after_ms(0);
    answer(client, std::move(reply));
    std::ignore = step(Left{client, true}, now);
  }
}

void Coordinator::run_timer() {
  bool stop = false;
  while (!stop) {
    std::vector<std::pair<TransferPointer, Error>> ending;
    locked([&]() MUSTER_REQUIRES(mutex_) {
      const Instant now = steady_clock::now();
      std::ignore = step(Tick{}, now);
      expire_held(now);
      ending = std::exchange(to_end_, {});
    });
    for (const auto& [transfer, why] : ending) transfer->end(why);
    MutexLock lock(mutex_);
    while (!stopping_ && to_end_.empty() && (timer_until_ = next_due()) > steady_clock::now())
      timer_wake_.wait_until(lock, timer_until_);
    stop = stopping_;
  }
}

Instant Coordinator::next_due() const {
  const Instant machine = machine_.next_deadline().value_or(steady_clock::now() + std::chrono::hours(1));
  return expiries_.empty() ? machine : std::min(machine, expiries_.begin()->first);
}

}  // namespace muster::agg
