// aggregator/shell/coordinator_models.cc: folding updates, finishing models, saving and evaluating them: what
// takes time with the size of the model, on threads of its own and without the lock
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "aggregator/shell/coordinator.h"
#include "aggregator/shell/coordinator_lock.h"
#include "aggregator/store/curve.h"
#include "common/base/check.h"
#include "common/platform/log.h"
#include "pod/pod_contract.h"

namespace muster::agg {

using federation::v1::UploadReply;
using std::chrono::steady_clock;

namespace {

// Euclidean; an empty `from` is 0.
double distance(std::span<const float> to, std::span<const float> from) {
  double square = 0;
  for (std::size_t i = 0; i < to.size(); ++i) {
    const double apart = static_cast<double>(to[i]) - (from.empty() ? 0.0 : static_cast<double>(from[i]));
    square += apart * apart;
  }
  return std::sqrt(square);
}

// Nothing: it is good, but nobody has told anything of it. Error: it is not good.
Result<std::optional<learning::HistoryPoint>> judge(const GlobalModel& model, const CoordinatorPorts& ports,
                                                    AggregatorMetrics& metrics) {
  std::optional<Measured> found = model.told;
  if (ports.evaluate) {
    const learning::Evaluation result = ports.evaluate(model.values, model.round);
    if (!std::isfinite(result.loss))
      return invalid_argument(
          fmt::format("the test loss of round {0} is not finite: training diverged; lower "
                      "training.optimizer.learningRate. Round {0} is not kept",
                      model.round));
    found = Measured{.loss = result.loss, .accuracy = result.accuracy};
  }
  if (!found) {
    spdlog::info("round {} is there; no client told a loss round={}", model.round, model.round);
    return std::optional<learning::HistoryPoint>();
  }
  const std::optional<double>& accuracy = found->accuracy;
  metrics.set_evaluation(found->loss, accuracy);
  spdlog::info("round {} is {} round={} loss={:.4f}{}", model.round,
               ports.evaluate ? "evaluated" : "measured by its clients", model.round, found->loss,
               accuracy ? fmt::format(" accuracy={:.4f}", *accuracy) : "");
  return std::optional(learning::HistoryPoint{.at = model.round, .loss = found->loss, .accuracy = accuracy});
}

}  // namespace

void Coordinator::fold(Folding folding, Strategy& strategy) {
  const UpdateKept update = std::move(folding.update);
  bool awaited = false;
  std::int64_t round = 0;
  {
    const MutexLock lock(mutex_);
    awaited = machine_.judge(update.id, steady_clock::now()) == Judgement::kBeingFolded;
    round = gathering_;
  }
  Status folded;  // unless the round closed while the update waited
  if (awaited) {
    Contribution from = contribution_of(update, folding.values, round);
    from.within = folding.answer != nullptr;  // finish_upload has looked; a journal may be of another version
    folded = strategy.take(from);
  }
  folding.holder.reset();  // before the answer, after which its client may send another
  UploadReply reply = locked([&]() MUSTER_REQUIRES(mutex_) {
    const Instant now = steady_clock::now();
    ledger_.folded = update.sequence;
    if (!awaited) return late(update.id, now);
    if (!folded && folded.error().code != Code::kInvalidArgument)
      fail(kExitStorage, folded.error().message, now);
    if (!folded) return refuse(update.id, Refusal::kUnusable, folded.error().message, now);
    metrics_.count_update("accepted");
    metrics_.count_taken(staleness_of(update, round), update.partial);
    counted_.taken(update.client, update.number);
    devices_.reports.taken(update.client, update.held_out);
    told_.add(update.loss, update.accuracy);
    ledger_.taken.push_back({update.sequence, update.id});
    // It is in the aggregate: it counts, also where its task was forgotten meanwhile, with a round of long
    // ago.
    std::ignore = step(Reported{update.id}, now);
    UploadReply accepted;
    accepted.set_verdict(UploadReply::ACCEPTED);
    return accepted;
  });
  if (folding.answer) folding.answer(std::move(reply));
}

void Coordinator::finish(const Closed& closed, const std::shared_ptr<const GlobalModel>& model,
                         Strategy& strategy) {
  const std::int64_t round = closed.round;
  if (!strategy.state().empty() && !wait_saved()) return;
  std::vector<std::int64_t> counted;
  ToldByClients told;
  std::vector<float> devices;
  {
    const MutexLock lock(mutex_);
    told = std::exchange(told_, {});
    gathering_ = round + 1;
    journal_closed(closed, true);
    counted_.sealed();
    counted = counted_.with_sealed();
    devices_.reports.sealed();
    devices = devices_.reports.kept();
  }
  auto values = strategy.finish(model->values);
  if (values) {
    metrics_.set_step_norm(distance(*values, model->values));
    for (const learning::SlotView& slot : strategy.state())
      if (slot.values.size() == values->size()) metrics_.set_state_norm(slot.name, distance(slot.values, {}));
  }
  std::shared_ptr<const GlobalModel> next;
  if (values)
    next = make_global_model(round, std::move(*values), strategy.broadcast(), std::move(counted),
                             told.summary(), std::move(devices));
  locked([&]() MUSTER_REQUIRES(mutex_) {
    const Instant now = steady_clock::now();
    if (next == nullptr) {
      const Code code = values.error().code;
      const bool final = code == Code::kDataLoss || code == Code::kFailedPrecondition;
      return fail(final ? kExitInvalid : kExitStorage,
                  values.error().in(fmt::format("round {}", round)).message, now);
    }
    if (machine_.over()) return;
    state_ = strategy.state();
    if (saved_first_) {
      save_later(std::move(next));
    } else if (outlives_ != Outlives::kAll && (committing_ || to_commit_ != nullptr)) {
      next_ = std::move(next);
    } else {
      install(std::move(next), now);
    }
  });
}

// What the strategy remembers is written from where it lies: the next round changes it only once the last one
// is saved. False: all is over, and nobody needs another model.
bool Coordinator::wait_saved() {
  MutexLock lock(mutex_);
  changed_.wait(lock, [this]() MUSTER_REQUIRES(mutex_) {
    return stopping_ || machine_.over() || (!committing_ && to_commit_ == nullptr);
  });
  return !stopping_ && !machine_.over();
}

// The next round may begin with this model; its durability and evaluation follow beside it. Where there are
// no rounds nobody waits for those either: a version that is followed by another before its turn has none.
void Coordinator::install(std::shared_ptr<const GlobalModel> model, Instant now) {
  put_in_place(std::move(model));
  save_later(model_);
  std::ignore = step(Committed{}, now);
}

void Coordinator::put_in_place(std::shared_ptr<const GlobalModel> model) {
  spdlog::info("round {} has its model round={}", model->round, model->round);
  later_.releases.push_back(std::exchange(model_, std::move(model)));
  metrics_.set_round(model_->round, options_.federation.rounds.value_or(0));
  counted_.committed();
  if (outlives_ == Outlives::kAll) end_old_downloads();
}

void Coordinator::save_later(std::shared_ptr<const GlobalModel> model) {
  to_commit_ = std::move(model);
  commit_wake_.notify_all();
}

void Coordinator::run_commits() {
  while (true) {
    std::shared_ptr<const GlobalModel> model;
    {
      MutexLock lock(mutex_);
      commit_wake_.wait(lock,
                        [this]() MUSTER_REQUIRES(mutex_) { return stopping_ || to_commit_ != nullptr; });
      if (to_commit_ == nullptr) return;
      model = std::exchange(to_commit_, nullptr);
      committing_ = true;
    }
    commit(model);
    model.reset();  // before the next round begins, so that there are never three
    locked([&]() MUSTER_REQUIRES(mutex_) {
      committing_ = false;
      auto next = std::exchange(next_, nullptr);
      if (next != nullptr && !machine_.over()) {
        install(std::move(next), steady_clock::now());
      } else {
        later_.releases.push_back(std::move(next));
      }
      changed_.notify_all();
    });
  }
}

// Evaluates, then saves: what an aggregator resumes from is a model that was good, with its own point of the
// history. A model that is not stays out of the store, so that the one before it is the newest there.
void Coordinator::commit(const std::shared_ptr<const GlobalModel>& model) {
  const auto point = judge(*model, ports_, metrics_);
  if (!point) {
    locked([&]() MUSTER_REQUIRES(mutex_) { fail(kExitInvalid, point.error().message, steady_clock::now()); });
    return;
  }
  std::vector<learning::HistoryPoint> history;
  std::vector<learning::SlotView> state;
  {
    const MutexLock lock(mutex_);
    if (*point) add_point(history_, **point);
    if (options_.federation.stream && model->told) devices_.drift.add(model->told->loss);
    if (const auto drift = devices_.drift.value()) metrics_.set_drift(*drift);
    history = history_;
    state = state_;
  }
  // First the journal: it must not know less than the checkpoint, or it would count updates again.
  Status saved = journal_ == nullptr ? Status() : journal_->sync(model->round);
  if (saved)
    saved = ports_.save({.round = model->round,
                         .parameters = model->values,
                         .history = history,
                         .state = std::move(state),
                         .counted = model->counted,
                         .devices = model->devices});
  if (saved && journal_ != nullptr) journal_->saved(model->round);
  locked([&]() MUSTER_REQUIRES(mutex_) {
    const Instant now = steady_clock::now();
    if (!saved) return fail(kExitStorage, saved.error().message, now);
    const bool waits = saved_first_ && model != model_;  // else it is in place
    if (waits) put_in_place(model);
    if (!target_reached_ && reaches_target(history_)) {
      target_reached_ = true;
      if (model != model_) {  // newer versions came meanwhile; the one that is good enough is the last
        later_.releases.push_back(std::exchange(model_, model));
        later_.releases.push_back(std::exchange(to_commit_, nullptr));
      }
      std::ignore =
          step(Stopped{fmt::format("round {} reached accuracy {:.4f}, the target is {}", model->round,
                                   history_.back().accuracy.value_or(0), options_.federation.target->value),
                       false},
               now);
    }
    if (waits && !machine_.over()) std::ignore = step(Committed{}, now);
  });
}

}  // namespace muster::agg
