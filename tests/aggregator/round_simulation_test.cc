// tests/aggregator/round_simulation_test.cc: whole federations under drops, delays, duplicates and kills, by
// seed
#include <gtest/gtest.h>

#include <map>
#include <queue>
#include <set>
#include <string>

#include "aggregator/round/round.h"
#include "common/base/random.h"
#include "tests/aggregator/planned.h"

namespace muster::agg {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

// Clients that lose tasks, vanish, answer late, twice, or with rubbish. Checks the invariants as it goes.
class Simulation {
 public:
  explicit Simulation(std::uint64_t seed)
      : random_(seed), options_(random_options(random_, seed)), machine_(options_, now_) {}

  void run() {
    for (ClientId client = 0; client < options_.clients; ++client) plan(client, 0, CheckedIn{client});
    for (int steps = 0; !machine_.over(); ++steps) {
      ASSERT_LT(steps, 200'000) << "it does not end";
      const auto timer = machine_.next_deadline();
      const bool event_first = !events_.empty() && (!timer || events_.top().at <= *timer);
      ASSERT_TRUE(event_first || timer) << "nothing will ever happen";
      if (!event_first) {
        now_ = std::max(now_, *timer);
        feed(Tick{});
        continue;
      }
      const Planned next = events_.top();
      events_.pop();
      now_ = std::max(now_, next.at);
      deliver(next);
    }
    EXPECT_EQ(commits_, machine_.counts().committed);
    if (machine_.state() == RoundState::kFinished) {
      EXPECT_EQ(commits_, options_.rounds);
    }
  }

 private:
  static RoundOptions random_options(Random& random, std::uint64_t seed) {
    const auto clients = static_cast<std::int64_t>(2 + random.below(20));
    const auto size = static_cast<std::int64_t>(1 + random.below(static_cast<std::uint64_t>(clients)));
    const auto minimum = static_cast<std::int64_t>(1 + random.below(static_cast<std::uint64_t>(size)));
    const auto spare = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(size) + 1));
    std::vector<std::uint64_t> sizes(random.below(3) == 0 ? static_cast<std::size_t>(clients) : 0);
    for (std::uint64_t& each : sizes) each = random.below(100);
    return {.rounds = static_cast<std::int64_t>(1 + random.below(12)),
            .clients = clients,
            .size = size,
            .selected = std::min(clients, size + spare),
            .minimum = minimum,
            .seed = seed,
            .sizes = std::move(sizes),
            .late_counts = random.below(3) == 0,
            .new_task_id = [next = 0]() mutable { return std::to_string(++next); },
            .selection_timeout = 60s,
            .report_deadline = 10s};
  }

  void plan(ClientId /*client*/, std::int64_t after_ms, Event event) {
    events_.push({now_ + milliseconds(after_ms), ++order_, std::move(event)});
  }
  std::int64_t soon(std::uint64_t max_ms) { return static_cast<std::int64_t>(random_.below(max_ms)); }

  // An arriving update is judged first, as the shell does, and folded a while later; the rest goes straight
  // in.
  void deliver(const Planned& next) {
    if (const auto* update = std::get_if<Arrived>(&next.event)) return arrive(*update);
    if (const auto* folded = std::get_if<Reported>(&next.event)) return fold(folded->task_id);
    feed(next.event);
  }

  void arrive(const Arrived& update) {
    feed(Tick{});
    switch (machine_.judge(update.task_id, now_)) {
      case Judgement::kFold:
        ASSERT_TRUE(open_ || options_.late_counts);
        feed(update);
        plan(0, soon(1'000), Reported{update.task_id});
        return;
      case Judgement::kBeingFolded: return;
      case Judgement::kAlreadyCounted: EXPECT_TRUE(folded_.contains(update.task_id)); break;
      case Judgement::kLate:
        EXPECT_FALSE(folded_.contains(update.task_id));
        feed(Lapsed{update.task_id});
        break;
      case Judgement::kUnknown: return;
    }
    plan(0, soon(50), CheckedIn{machine_.known(update.task_id)->client});
  }

  void fold(const std::string& task_id) {
    const ClientId client = client_of_.at(task_id);
    if (machine_.judge(task_id, now_) != Judgement::kBeingFolded) {  // its round closed without it
      feed(Lapsed{task_id});
    } else if (random_.below(20) == 0) {
      feed(Refused{task_id, "rubbish"});
    } else {
      EXPECT_EQ(machine_.known(task_id)->client, client);
      ASSERT_TRUE(folded_.insert(task_id).second) << "counted twice: " << task_id;
      const bool in_time = open_ && selected_.contains(client) && selected_.at(client) == task_id;
      ASSERT_TRUE(in_time || options_.late_counts);
      if (in_time) ++in_round_;
      feed(Reported{task_id});
    }
    plan(client, soon(50), CheckedIn{client});
  }

  void feed(const Event& event) {
    auto effects = machine_.step(event, now_);
    if (!effects) return;  // e.g. the download of a round that is over
    const RoundCounts counts = machine_.counts();
    EXPECT_LE(0, counts.connected);
    EXPECT_LE(counts.connected, options_.clients);
    EXPECT_LE(counts.reported, counts.selected);
    EXPECT_LE(counts.configured, counts.selected);
    for (const Effect& effect : *effects) std::visit([this](const auto& it) { act(it); }, effect);
  }

  void act(const BeginRound& begin) {
    EXPECT_FALSE(open_);
    open_ = true;
    in_round_ = 0;
    selected_.clear();
    EXPECT_LE(begin.selected, static_cast<std::size_t>(options_.selected));
  }
  void act(const AssignTask& task) {
    EXPECT_TRUE(open_);
    const auto [mine, fresh] = selected_.emplace(task.client, task.task_id);
    EXPECT_EQ(mine->second, task.task_id) << "client " << task.client << " was selected twice";
    client_of_[task.task_id] = task.client;
    const std::uint64_t fate = random_.below(10);
    if (fate == 0) return;                                                        // never comes back
    if (fate == 1) return plan(task.client, soon(3000), CheckedIn{task.client});  // lost its task
    plan(task.client, soon(500), Downloaded{task.task_id});
    plan(task.client, 500 + soon(fate == 2 ? 30'000 : 6'000), Arrived{task.task_id});
    if (fate == 3) plan(task.client, 500 + soon(12'000), Arrived{task.task_id});  // its answer got lost
    if (fate == 4) plan(task.client, 20'000, CheckedIn{task.client});
  }
  void act(const ForgetTask& forgotten) {
    EXPECT_TRUE(options_.late_counts);
    EXPECT_FALSE(folded_.contains(forgotten.task_id));
  }
  void act(const CommitRound& commit) {
    EXPECT_TRUE(open_);
    open_ = false;
    ++commits_;
    EXPECT_EQ(commit.reported, in_round_);
    if (options_.sizes.empty()) {  // else an update may count several times
      EXPECT_GE(commit.reported, options_.minimum);
    }
    EXPECT_LE(commit.reported, options_.size);
    EXPECT_EQ(commit.round, commits_);
    plan(0, soon(100), Committed{});
  }
  void act(const AbandonRound& /*abandoned*/) {
    if (open_) {
      EXPECT_LT(in_round_, options_.minimum);
    }
    open_ = false;
  }
  void act(const Dismiss& /*dismissed*/) { EXPECT_TRUE(machine_.over()); }
  void act(const Ended& /*ended*/) { EXPECT_FALSE(std::exchange(ended_, true)); }

  Random random_;
  Instant now_{1h};
  RoundOptions options_;
  RoundMachine machine_;
  std::priority_queue<Planned> events_;
  std::uint64_t order_ = 0;
  std::map<std::string, ClientId> client_of_;
  std::map<ClientId, std::string> selected_;
  std::set<std::string> folded_;
  bool open_ = false;
  bool ended_ = false;
  std::int64_t in_round_ = 0;
  std::int64_t commits_ = 0;
};

TEST(RoundSimulation, KeepsItsInvariantsForEverySeed) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Simulation(seed).run();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace muster::agg
