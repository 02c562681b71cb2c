#pragma once  // tests/aggregator/journaled_server.h: an aggregator without threads or network: the real
              // machines, strategies, journal and replay over a disk that breaks
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "aggregator/round/buffer.h"
#include "aggregator/round/counted.h"
#include "aggregator/round/round.h"
#include "aggregator/store/journal.h"
#include "aggregator/store/replay.h"
#include "learning/sha256.h"
#include "tests/support/fake_disk.h"
#include "tests/support/memory_shelf.h"

namespace muster::agg {

inline constexpr std::size_t kValues = 5;

// Of Scoring: a valley, so that some updates help and others do not.
inline double held_out_loss(std::span<const float> model) {
  double loss = 0;
  for (std::size_t i = 0; i < model.size(); ++i) {
    const double apart = static_cast<double>(model[i]) - 0.7 * static_cast<double>(i);
    loss += apart * apart;
  }
  return loss;
}

struct Federated {
  spec::Strategy strategy;
  std::int64_t clients = 3;
  std::int64_t rounds = 6;
  RoundOptions round;  // size, selected, minimum, times
  std::uint64_t file_bytes = 0;
};

struct Checkpoint {  // outlives processes, and is written whole or not at all
  std::int64_t round = 0;
  std::vector<float> model = std::vector<float>(kValues, 1.0F);
  std::vector<learning::OptimizerState::Slot> state;
  std::vector<std::int64_t> counted;
};

// What the world sees of all processes together.
struct Seen {
  std::map<std::int64_t, std::vector<std::string>> taken;  // of each round, as last made: ids in order
  std::map<std::int64_t, std::vector<float>> published;    // models that clients may have
  std::int64_t durable = 0;                                // closed rounds that a loss of power leaves closed
  std::set<std::string> discarded;                         // of rounds that came to nothing
  std::map<std::string, std::vector<float>> values;        // of every update
  std::map<std::string, std::pair<UpdateKept, std::int64_t>>
      kept;  // and the round whose aggregate it was for
  int recovered = 0;
};

// What an aggregator that was never interrupted makes of the same sequence: the strategy alone.
inline std::vector<float> uninterrupted(const Federated& setup, const Seen& seen, std::int64_t rounds) {
  auto strategy =
      make_strategy(setup.strategy, kValues, std::make_unique<MemoryShelf>(),
                    {.clients = setup.clients, .learning_rate = 0.05, .held_out_loss = held_out_loss});
  std::vector<float> model = Checkpoint().model;
  for (std::int64_t round = 1; round <= rounds; ++round) {
    for (const std::string& id : seen.taken.at(round)) {
      const auto& [update, of_round] = seen.kept.at(id);
      EXPECT_EQ(of_round, round) << "update " << id << " is in two rounds";
      EXPECT_TRUE((*strategy)->take(contribution_of(update, seen.values.at(id), round)));
    }
    auto next = (*strategy)->finish(model);
    EXPECT_TRUE(next);
    if (!next) return {};
    model = std::move(*next);
  }
  return model;
}

class JournaledServer {
 public:
  JournaledServer(const Federated& setup, DiskImage& image, Checkpoint& checkpoint, Seen& seen, Instant now,
                  std::function<std::string()> names)
      : setup_(setup), image_(image), checkpoint_(checkpoint), seen_(seen), now_(now) {
    rounds_ = spec::needs_of(setup.strategy).rounds;
    auto strategy =
        make_strategy(setup.strategy, kValues, std::make_unique<MemoryShelf>(),
                      {.clients = setup.clients, .learning_rate = 0.05, .held_out_loss = held_out_loss});
    EXPECT_TRUE(strategy) << (strategy ? "" : strategy.error().message);
    strategy_ = std::move(*strategy);
    if (checkpoint.round > 0) {
      EXPECT_TRUE(strategy_->restore(checkpoint.state));
    }
    CommittedRound start{.round = checkpoint.round,
                         .parameters = checkpoint.model,
                         .history = {},
                         .counted = checkpoint.counted};
    start.counted.resize(static_cast<std::size_t>(setup.clients));
    auto journal = Journal::open(
        std::make_unique<FakeDisk>(image),
        {.owner = {.uid = "u", .fingerprint = "f", .clients = setup.clients, .parameters = kValues},
         .place = "j",
         .file_bytes = setup.file_bytes,
         .salt = 7},
        checkpoint.round, recovered_);
    EXPECT_TRUE(journal) << (journal ? "" : journal.error().message);
    journal_ = std::move(*journal);
    EXPECT_FALSE(recovered_.useless) << recovered_.notes[0];
    for (const ClosedRound& closed : recovered_.closed) remember(closed);
    const Status replayed =
        replay(recovered_.closed, rounds_,
               {.evaluate = [](std::span<const float>,
                               std::int64_t) { return learning::Evaluation{.loss = 1, .accuracy = 0}; },
                .save = [this](const RoundView& view) { return save(view); },
                .enough = [](const auto&) { return false; }},
               *strategy_, start);
    EXPECT_TRUE(replayed) << (replayed ? "" : replayed.error().message);
    EXPECT_TRUE(journal_->start_file(start.round, recovered_.next_sequence, recovered_.resume));
    journal_->release(recovered_.settled());
    model_ = start.parameters;
    seen_.durable = start.round;
    publish(start.round);
    counted_.emplace(start.counted);
    next_sequence_ = recovered_.next_sequence;
    gathering_ = start.round + 1;
    make_machine(start.round, std::move(names));
    machine_->restore(recovered_.resume, now);
    for (const PendingUpdate& pending : recovered_.tail) {
      ++seen.recovered;
      waiting_.push_back({pending.update, {pending.values.begin(), pending.values.end()}});
    }
    std::ignore = fold_waiting();
    std::ignore = feed(Tick{});
  }

  void set_now(Instant now) { now_ = now; }
  [[nodiscard]] FederationMachine& machine() { return *machine_; }
  [[nodiscard]] const std::vector<float>& model() const { return model_; }
  [[nodiscard]] std::int64_t round() const { return gathering_ - 1; }
  [[nodiscard]] const Journal& journal() const { return *journal_; }
  [[nodiscard]] std::shared_ptr<const std::vector<float>> broadcast() const { return strategy_->broadcast(); }
  // Tasks that were given since.
  std::vector<AssignTask> given() { return std::exchange(given_, {}); }

  Status feed(const Event& event) {
    auto effects = machine_->step(event, now_);
    if (!effects) return effects.error();
    apply(*effects);
    return {};
  }
  void fetch(const std::string& id) {
    const std::int64_t before = machine_->known(id)->number;
    if (!feed(Fetching{id})) return;
    if (machine_->known(id)->number != before) note(TaskFetched{id, machine_->known(id)->number});
    std::ignore = feed(Downloaded{id});
  }
  void refuse(const std::string& id) {
    note(TaskOver{id, TaskFate::kRefused});
    std::ignore = feed(Refused{id, "it cannot"});
  }
  // Into the journal, not durable yet. False: the disk is full, and its client keeps it.
  bool arrive(const std::string& id, const std::vector<float>& values) {
    EXPECT_TRUE(feed(Arrived{id}));
    const KnownTask task = *machine_->known(id);
    const UpdateKept update{.sequence = next_sequence_++,
                            .id = id,
                            .client = task.client,
                            .number = task.number,
                            .copies = task.copies,
                            .examples = 1 + static_cast<std::uint64_t>(task.client),
                            .weight = 1.5,
                            .steps = 2,
                            .sha256 = learning::sha256_hex(std::as_bytes(std::span<const float>(values)))};
    seen_.values[id] = values;
    if (!journal_->append(update, values)) {
      EXPECT_TRUE(feed(Returned{id}));
      note(TaskOver{id, TaskFate::kAssigned});
      return false;
    }
    waiting_.push_back({update, values});
    return true;
  }
  // Group commit and folds; the ids that are answered ACCEPTED.
  std::vector<std::string> fold_waiting() {
    std::vector<std::string> accepted;
    if (waiting_.empty()) return accepted;
    EXPECT_TRUE(journal_->sync());
    seen_.durable = round();
    for (const auto& [update, values] : std::exchange(waiting_, {})) {
      folded_ = update.sequence;
      if (machine_->judge(update.id, now_) != Judgement::kBeingFolded) continue;
      const Status taken = strategy_->take(contribution_of(update, values, gathering_));
      EXPECT_TRUE(taken) << (taken ? "" : taken.error().message);
      counted_->taken(update.client, update.number);
      taken_.push_back({update.sequence, update.id});
      ids_.push_back(update.id);
      seen_.kept[update.id] = {update, gathering_};
      accepted.push_back(update.id);
      EXPECT_TRUE(feed(Reported{update.id}));
    }
    return accepted;
  }
  // The newest model, if it is not yet.
  void save_newest() {
    if (!to_save_) return;
    to_save_ = false;
    EXPECT_TRUE(journal_->sync());
    seen_.durable = round();
    EXPECT_TRUE(save({.round = round(),
                      .parameters = model_,
                      .history = {},
                      .state = strategy_->state(),
                      .counted = saved_counted_}));
    while (!closings_.empty() && (!closings_.front().committed || closings_.front().round <= round())) {
      journal_->release(closings_.front().settled);
      closings_.pop_front();
    }
  }

 private:
  struct Waiting {
    UpdateKept update;
    std::vector<float> values;
  };

  void make_machine(std::int64_t committed, std::function<std::string()> names) {
    if (!rounds_) {
      machine_ = std::make_unique<BufferMachine>(BufferOptions{.versions = setup_.rounds,
                                                               .committed = committed,
                                                               .clients = setup_.clients,
                                                               .at_work = setup_.clients,
                                                               .buffer = setup_.strategy.buffer_size,
                                                               .new_task_id = std::move(names),
                                                               .task_deadline = setup_.round.report_deadline},
                                                 now_);
      return;
    }
    RoundOptions options = setup_.round;
    options.rounds = setup_.rounds;
    options.first_round = committed + 1;
    options.clients = setup_.clients;
    options.new_task_id = std::move(names);
    options.failures_max = 1'000;
    machine_ = std::make_unique<RoundMachine>(std::move(options), now_);
  }
  // For notes there is room: those that wait for it are journal_thread_test's.
  void note(const JournalRecord& record) {
    const std::uint64_t capacity = std::exchange(image_.capacity, ~std::uint64_t{0});
    EXPECT_TRUE(journal_->append(record));
    image_.capacity = capacity;
  }

  void apply(const Effects& effects) {
    TasksGiven given;
    for (const Effect& effect : effects) {
      if (std::holds_alternative<AbandonRound>(effect)) seen_.discarded.insert(ids_.begin(), ids_.end());
      if (const auto* task = std::get_if<AssignTask>(&effect); task != nullptr && !task->again)
        given.tasks.push_back({.id = task->task_id,
                               .client = task->client,
                               .number = task->round,
                               .copies = machine_->known(task->task_id)->copies,
                               .serial = task->serial,
                               .fate = TaskFate::kAssigned,
                               .cycle = machine_->counts().cycle});
      if (const auto* gone = std::get_if<ForgetTask>(&effect); gone != nullptr && !rounds_)
        note(TaskOver{gone->task_id, TaskFate::kExpired});
    }
    if (!given.tasks.empty()) note(given);
    for (const Effect& effect : effects) {
      if (const auto* task = std::get_if<AssignTask>(&effect)) given_.push_back(*task);
      if (const auto* abandoned = std::get_if<AbandonRound>(&effect)) {
        strategy_->discard();
        counted_->discarded();
        close(abandoned->round, false);
      }
      if (const auto* commit = std::get_if<CommitRound>(&effect)) finish(commit->round);
    }
  }
  void close(std::int64_t round, bool committed) {
    const bool all = committed && rounds_ && !setup_.round.late_counts;
    const RoundClosed closed{.round = round,
                             .cycle = machine_->counts().cycle - 1,
                             .committed = committed,
                             .ends_tasks = rounds_,
                             .settled = all ? next_sequence_ - 1 : folded_,
                             .taken = std::exchange(taken_, {})};
    ids_.clear();
    note(closed);
    closings_.push_back(closed);
    if (journal_->wants_file()) {
      EXPECT_TRUE(journal_->start_file(committed ? round : round - 1, next_sequence_, machine_->resume()));
    }
  }
  void finish(std::int64_t round) {
    if (rounds_) save_newest();  // the model before
    seen_.taken[round] = ids_;
    close(round, true);
    counted_->sealed();
    saved_counted_ = counted_->with_sealed();
    auto next = strategy_->finish(model_);
    ASSERT_TRUE(next) << next.error().message;
    model_ = std::move(*next);
    counted_->committed();
    gathering_ = round + 1;
    to_save_ = true;
    publish(round);
    EXPECT_TRUE(feed(Committed{}));
  }
  // Nobody may ever see two models of one round.
  void publish(std::int64_t round) {
    const auto known = seen_.published.emplace(round, model_).first;
    EXPECT_EQ(known->second, model_) << "round " << round << " has two models";
  }
  void remember(const ClosedRound& closed) {
    auto& ids = seen_.taken[closed.round];
    ids.clear();
    for (const PendingUpdate& pending : closed.taken) {
      ids.push_back(pending.update.id);
      seen_.kept[pending.update.id] = {pending.update, closed.round};
    }
  }
  Status save(const RoundView& view) {
    image_.boundary();
    checkpoint_ = {.round = view.round,
                   .model = {view.parameters.begin(), view.parameters.end()},
                   .state = {},
                   .counted = {view.counted.begin(), view.counted.end()}};
    for (const auto& slot : view.state)
      checkpoint_.state.push_back({slot.name, {slot.values.begin(), slot.values.end()}});
    image_.boundary();
    return {};
  }

  const Federated& setup_;
  DiskImage& image_;
  Checkpoint& checkpoint_;
  Seen& seen_;
  Instant now_;
  bool rounds_ = true;
  std::unique_ptr<Strategy> strategy_;
  std::unique_ptr<Journal> journal_;
  Recovered recovered_;
  std::unique_ptr<FederationMachine> machine_;
  std::optional<CountedUpdates> counted_;
  std::vector<std::int64_t> saved_counted_;
  std::vector<float> model_;
  std::int64_t gathering_ = 1;
  std::uint64_t next_sequence_ = 1;
  std::uint64_t folded_ = 0;
  std::vector<TakenUpdate> taken_;
  std::vector<std::string> ids_;  // of taken_
  std::vector<Waiting> waiting_;
  std::vector<AssignTask> given_;
  std::deque<RoundClosed> closings_;
  bool to_save_ = false;
};

}  // namespace muster::agg
