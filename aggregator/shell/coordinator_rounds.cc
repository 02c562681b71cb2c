// aggregator/shell/coordinator_rounds.cc: effects of the round machine, its timer, commits and evaluation
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "aggregator/shell/coordinator.h"
#include "aggregator/shell/coordinator_lock.h"
#include "common/base/check.h"
#include "common/platform/log.h"
#include "learning/sha256.h"
#include "pod/pod_contract.h"

namespace muster::agg {
namespace {

using federation::v1::CheckInReply;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

RoundOptions round_options(const CoordinatorOptions& options, std::int64_t committed) {
  const spec::Federation& federation = options.federation;
  return {.rounds = federation.rounds,
          .first_round = committed + 1,
          .clients = federation.clients,
          .size = federation.cohort.size,
          .selected = spec::selection_count(federation.cohort),
          .minimum = federation.cohort.minimum,
          .seed = static_cast<std::uint64_t>(federation.training.seed),
          .run = options.run,
          .selection_grace = options.selection_grace,
          .selection_timeout = options.selection_timeout,
          .report_deadline =
              options.report_deadline.value_or(std::chrono::seconds(federation.stragglers.deadline_seconds))};
}

std::shared_ptr<const Model> make_model(std::int64_t round, std::vector<float> values) {
  auto model = std::make_shared<Model>();
  model->round = round;
  model->sha256 = learning::sha256_hex(std::as_bytes(std::span<const float>(values)));
  model->values = std::move(values);
  return model;
}

double seconds_between(Instant begin, Instant end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace

Coordinator::Coordinator(CoordinatorOptions options, CoordinatorPorts ports, CommittedRound start,
                         AggregatorMetrics& metrics)
    : options_(std::move(options)),
      ports_(std::move(ports)),
      metrics_(metrics),
      machine_(round_options(options_, start.round), steady_clock::now()),
      model_(make_model(start.round, std::move(start.parameters))),
      history_(std::move(start.history)),
      uploads_(std::max(options_.upload_memory_max, 2 * model_->bytes())) {
  // A process that was killed between committing a round and evaluating it left no point of it.
  if (start.round > 0 && (history_.empty() || history_.back().at < start.round)) to_commit_ = model_;
  if (start.finished) {
    std::ignore =
        machine_.step(Stopped{"the federation had ended: its model is written"}, steady_clock::now());
    target_reached_ = reaches_target(history_);
  }
  if (machine_.over()) outcome_ = Outcome{0, machine_.outcome()};
  metrics_.set_round(start.round, options_.federation.rounds);
  timer_ = std::thread([this] { run_timer(); });
  commits_ = std::thread([this] { run_commits(); });
}

Coordinator::~Coordinator() {
  locked([&] {
    stopping_ = true;
    while (!held_.empty()) {
      CheckInReply reply;
      reply.mutable_come_back()->set_after_ms(0);
      answer(held_.begin()->first, std::move(reply));
    }
    commit_wake_.notify_all();
  });
  timer_.join();
  commits_.join();
}

Status Coordinator::step(const Event& event, Instant now) {
  MUSTER_ASSIGN(const Effects effects, machine_.step(event, now));
  apply(effects, now);
  metrics_.set_connected(machine_.counts().connected);
  return {};
}

void Coordinator::apply(const Effects& effects, Instant now) {
  for (const Effect& effect : effects) std::visit([&](const auto& it) { apply(it, now); }, effect);
}

void Coordinator::apply(const BeginRound& effect, Instant now) {
  auto strategy = make_strategy(options_.federation.strategy, model_->values.size());
  MUSTER_CHECK(strategy);  // main refuses a federation whose strategy there is not
  strategy_ = std::move(*strategy);
  round_began_ = now;
  spdlog::info("round {} begins round={} selected={}", effect.round, effect.round, effect.selected);
}

void Coordinator::apply(const AssignTask& effect, Instant now) {
  CheckInReply reply;
  federation::v1::Task& task = *reply.mutable_task();
  task.set_round(effect.round);
  task.set_task_id(effect.task_id);
  task.set_model_bytes(model_->bytes());
  task.set_model_sha256(model_->sha256);
  // Rounded up: what the client says after its deadline comes after ours, and is late, not refused.
  task.set_deadline_ms(
      std::max<std::int64_t>(0, std::chrono::ceil<milliseconds>(effect.deadline - now).count()));
  answer(effect.client, std::move(reply));
}

void Coordinator::apply(const CommitRound& effect, Instant now) {
  uploads_.clear();
  metrics_.observe_round(seconds_between(round_began_, now), true);
  std::vector<float> step_values(model_->values.size());
  const Status finished = std::move(*strategy_).finish(step_values);
  strategy_.reset();
  MUSTER_CHECK(finished);  // the machine commits only rounds with reports
  bool finite = true;
  for (std::size_t i = 0; i < step_values.size(); ++i) {
    step_values[i] += model_->values[i];
    finite = finite && std::isfinite(step_values[i]);
  }
  if (!finite) {
    return fail(kExitInvalid,
                fmt::format("the model of round {} is not finite: training diverged; lower "
                            "training.optimizer.learningRate",
                            effect.round),
                now);
  }
  auto model = make_model(effect.round, std::move(step_values));
  if (committing_ || to_commit_ != nullptr) {
    next_ = std::move(model);
  } else {
    install(std::move(model), now);
  }
}

void Coordinator::apply(const AbandonRound& effect, Instant now) {
  uploads_.clear();
  if (strategy_ != nullptr) metrics_.observe_round(seconds_between(round_began_, now), false);
  strategy_.reset();
  spdlog::warn("round {} came to nothing: {} round={}", effect.round, effect.reason, effect.round);
}

void Coordinator::apply(const Dismiss& effect, Instant /*now*/) {
  CheckInReply reply;
  reply.mutable_done()->set_reason(machine_.outcome());
  dismissed_.insert(effect.client);
  answer(effect.client, std::move(reply));
  changed_.notify_all();
}

void Coordinator::apply(const Ended& effect, Instant /*now*/) {
  uploads_.clear();
  strategy_.reset();
  if (!outcome_)
    outcome_ = Outcome{!effect.failed ? 0 : effect.refused ? kExitInvalid : kExitRetry, effect.reason};
  spdlog::info("the federation is over: {}", effect.reason);
  changed_.notify_all();
}

void Coordinator::answer(ClientId client, CheckInReply reply) {
  if (auto held = release(client)) outbox_.emplace_back(std::move(held->answer), std::move(reply));
}

std::optional<Coordinator::Held> Coordinator::release(ClientId client) {
  const auto it = held_.find(client);
  if (it == held_.end()) return std::nullopt;
  Held held = std::move(it->second);
  held_.erase(it);
  expiries_.erase({held.expires, client});
  return held;
}

// The next round may begin with this model; its durability and evaluation follow beside it.
void Coordinator::install(std::shared_ptr<const Model> model, Instant now) {
  spdlog::info("round {} is closed round={}", model->round, model->round);
  model_ = std::move(model);
  to_commit_ = model_;
  commit_wake_.notify_all();
  metrics_.set_round(model_->round, options_.federation.rounds);
  std::ignore = step(Committed{}, now);
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
    locked([&] {
      const Instant now = steady_clock::now();
      std::ignore = step(Tick{}, now);
      expire_held(now);
    });
    std::unique_lock lock(mutex_);
    while (!stopping_ && (timer_until_ = next_due()) > steady_clock::now())
      timer_wake_.wait_until(lock, timer_until_);
    stop = stopping_;
  }
}

Instant Coordinator::next_due() const {
  const Instant machine = machine_.next_deadline().value_or(steady_clock::now() + std::chrono::hours(1));
  return expiries_.empty() ? machine : std::min(machine, expiries_.begin()->first);
}

void Coordinator::run_commits() {
  while (true) {
    std::shared_ptr<const Model> model;
    {
      std::unique_lock lock(mutex_);
      commit_wake_.wait(lock, [this] { return stopping_ || to_commit_ != nullptr; });
      if (to_commit_ == nullptr) return;
      model = std::exchange(to_commit_, nullptr);
      committing_ = true;
    }
    commit(model);
    locked([&] {
      committing_ = false;
      auto next = std::exchange(next_, nullptr);
      if (next != nullptr && !machine_.over()) install(std::move(next), steady_clock::now());
      changed_.notify_all();
    });
  }
}

// Saves, then evaluates; the history that is saved ends with the round before, until the next commit.
void Coordinator::commit(const std::shared_ptr<const Model>& model) {
  CommittedRound round{.round = model->round, .parameters = model->values, .history = {}};
  {
    const std::scoped_lock lock(mutex_);
    round.history = history_;
  }
  if (const Status saved = ports_.save(round); !saved) {
    locked([&] { fail(kExitStorage, saved.error().message, steady_clock::now()); });
    return;
  }
  const learning::Evaluation result = ports_.evaluate(model->values);
  locked([&] {
    const Instant now = steady_clock::now();
    if (!std::isfinite(result.loss)) {
      return fail(kExitInvalid,
                  fmt::format("the test loss of round {} is not finite: training diverged; lower "
                              "training.optimizer.learningRate",
                              model->round),
                  now);
    }
    history_.push_back({.at = model->round, .loss = result.loss, .accuracy = result.accuracy});
    metrics_.set_evaluation(result.loss, result.accuracy);
    spdlog::info("round {} is evaluated round={} loss={:.4f} accuracy={:.4f}", model->round, model->round,
                 result.loss, result.accuracy);
    if (target_reached_ || !reaches_target(history_)) return;
    target_reached_ = true;
    std::ignore = step(Stopped{fmt::format("round {} reached accuracy {:.4f}, the target is {}", model->round,
                                           result.accuracy, options_.federation.target->value),
                               false},
                       now);
  });
}

}  // namespace muster::agg
