// tests/aggregator/buffer_test.cc: the machine without rounds, one transition at a time, and whole
// federations by seed
#include "aggregator/round/buffer.h"

#include <gtest/gtest.h>

#include <map>
#include <queue>
#include <set>
#include <string>
#include <utility>

#include "common/base/random.h"
#include "tests/aggregator/planned.h"

namespace muster::agg {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

class Driver {
 public:
  explicit Driver(BufferOptions options) : machine(std::move(options), now) {}

  void send(const Event& event) {
    auto effects = machine.step(event, now);
    ASSERT_TRUE(effects) << effects.error().message;
    for (const Effect& effect : *effects) {
      if (const auto* task = std::get_if<AssignTask>(&effect)) tasks[task->client] = *task;
      if (std::holds_alternative<CommitRound>(effect)) ++commits;
      if (const auto* task = std::get_if<ForgetTask>(&effect)) forgotten.insert(task->task_id);
      if (const auto* client = std::get_if<Dismiss>(&effect)) home.insert(client->client);
      if (const auto* end = std::get_if<Ended>(&effect)) ended = *end;
    }
  }
  void check_in(ClientId first, ClientId last) {
    for (ClientId client = first; client <= last; ++client) send(CheckedIn{client});
  }
  void fetch_all() {
    for (const auto& [client, task] : std::map(tasks)) send(Fetching{task.task_id});
  }
  void pass(milliseconds time) {
    now += time;
    send(Tick{});
  }
  std::string take(ClientId client) { return tasks.extract(client).mapped().task_id; }
  void report(ClientId client) {
    const std::string task = take(client);
    send(Arrived{task});
    send(Reported{task});
  }

  Instant now{1h};
  BufferMachine machine;
  std::map<ClientId, AssignTask> tasks;  // at work
  std::set<std::string> forgotten;
  std::set<ClientId> home;
  int commits = 0;
  std::optional<Ended> ended;
};

BufferOptions small() {
  return {.versions = 3,
          .clients = 6,
          .at_work = 3,
          .buffer = 2,
          .staleness_max = 1,
          .seed = 7,
          .new_task_id = [next = 0]() mutable { return std::to_string(++next); },
          .task_deadline = 10s,
          .quiet_max = 60s};
}

TEST(BufferMachine, NoMoreThanSoManyAreAtWork) {
  Driver driver(small());
  driver.check_in(0, 5);
  EXPECT_EQ(driver.tasks.size(), 3U);
  driver.report(driver.tasks.begin()->first);
  EXPECT_EQ(driver.tasks.size(), 3U) << "another took its place at once";
}

TEST(BufferMachine, EachBufferMakesAVersionAndNobodyWaitsForIt) {
  Driver driver(small());
  driver.check_in(0, 5);
  driver.report(driver.tasks.begin()->first);
  EXPECT_EQ(driver.commits, 0);
  driver.report(driver.tasks.begin()->first);
  EXPECT_EQ(driver.commits, 1);
  EXPECT_EQ(driver.tasks.size(), 3U);
  driver.report(driver.tasks.begin()->first);  // while the version is made: of the next one
  driver.report(driver.tasks.begin()->first);
  EXPECT_EQ(driver.commits, 1) << "one at a time";
  driver.send(Committed{});
  EXPECT_EQ(driver.machine.counts().committed, 1);
  EXPECT_EQ(driver.commits, 2);
}

TEST(BufferMachine, ATaskIsOfTheVersionThatIsInPlaceWhenItsDownloadBegins) {
  Driver driver(small());
  driver.check_in(0, 5);
  const ClientId slow = driver.tasks.rbegin()->first;
  const std::string task = driver.tasks.at(slow).task_id;
  driver.report(driver.tasks.begin()->first);
  driver.report(driver.tasks.begin()->first);
  driver.send(Committed{});
  EXPECT_EQ(driver.machine.known(task)->number, 1);
  driver.send(Fetching{task});
  EXPECT_EQ(driver.machine.known(task)->number, 2);
}

TEST(BufferMachine, AnUpdateThatIsTooOldIsLate) {
  Driver driver(small());
  driver.check_in(0, 5);
  const ClientId away = driver.tasks.begin()->first;
  const std::string old = driver.take(away);
  for (int version = 0; version < 2; ++version) {
    EXPECT_EQ(driver.machine.judge(old, driver.now), Judgement::kFold) << version << " versions old";
    driver.report(driver.tasks.begin()->first);
    driver.report(driver.tasks.begin()->first);
    driver.send(Committed{});
    for (ClientId client = 0; client <= 5; ++client)
      if (client != away) driver.send(CheckedIn{client});
    driver.fetch_all();
  }
  EXPECT_EQ(driver.machine.judge(old, driver.now), Judgement::kLate);
  driver.send(Lapsed{old});
  EXPECT_EQ(driver.machine.counts().late, 1);
}

TEST(BufferMachine, WhoDoesNotComeBackIsReplacedAndLateIfItDoes) {
  Driver driver(small());
  driver.check_in(0, 5);
  const std::string lost = driver.tasks.begin()->second.task_id;
  driver.tasks.clear();
  driver.pass(10s);
  EXPECT_EQ(driver.tasks.size(), 3U);
  EXPECT_TRUE(driver.forgotten.contains(lost));
  EXPECT_EQ(driver.machine.counts().dropped, 3);
  EXPECT_EQ(driver.machine.judge(lost, driver.now), Judgement::kLate);
  driver.send(Lapsed{lost});
  EXPECT_EQ(driver.machine.counts().dropped, 2);
  EXPECT_EQ(driver.machine.counts().late, 1);
}

TEST(BufferMachine, AClientThatLostItsTaskIsGivenItAgain) {
  Driver driver(small());
  driver.check_in(0, 5);
  const auto [client, task] = *driver.tasks.begin();
  driver.tasks.clear();
  driver.send(CheckedIn{client});
  ASSERT_TRUE(driver.tasks.contains(client));
  EXPECT_EQ(driver.tasks.at(client).task_id, task.task_id);
  EXPECT_EQ(driver.tasks.at(client).deadline, task.deadline);
}

TEST(BufferMachine, AClientThatGivesUpItsTaskRestsBeforeTheNext) {
  BufferOptions options = small();
  options.clients = 3;
  Driver driver(options);
  driver.check_in(0, 2);
  for (int time = 0; time < 3; ++time) {
    driver.send(Fetching{driver.tasks.at(1).task_id});
    driver.send(Downloaded{driver.take(1)});
    driver.send(CheckedIn{1});  // whoever does so in a loop writes records in a loop
    ASSERT_FALSE(driver.tasks.contains(1));
    driver.pass(1000ms * (1 << time) - 1ms);
    ASSERT_FALSE(driver.tasks.contains(1)) << time;
    driver.pass(1ms);
    ASSERT_TRUE(driver.tasks.contains(1)) << time;
  }
}

TEST(BufferMachine, EndsWithItsLastVersion) {
  Driver driver(small());
  for (int version = 0; version < 3; ++version) {
    driver.check_in(0, 5);
    driver.fetch_all();
    driver.report(driver.tasks.begin()->first);
    driver.report(driver.tasks.begin()->first);
    driver.send(Committed{});
  }
  ASSERT_TRUE(driver.ended);
  EXPECT_FALSE(driver.ended->failed);
  EXPECT_EQ(driver.ended->reason, "all 3 versions are done");
  const std::string at_work = driver.take(driver.tasks.begin()->first);
  EXPECT_EQ(driver.machine.judge(at_work, driver.now), Judgement::kLate);
  driver.send(CheckedIn{0});
  EXPECT_TRUE(driver.home.contains(0));
  EXPECT_TRUE(BufferMachine({.versions = 2, .committed = 2, .new_task_id = small().new_task_id}, {}).over());
}

TEST(BufferMachine, FailsWhenNobodyComesAnyMore) {
  Driver driver(small());
  driver.check_in(0, 0);
  driver.pass(59s);
  EXPECT_FALSE(driver.ended);
  driver.pass(1s);
  ASSERT_TRUE(driver.ended);
  EXPECT_TRUE(driver.ended->failed);
  EXPECT_FALSE(driver.ended->refused);
}

TEST(BufferMachine, FailsWhenAllThatComesIsRefused) {
  Driver driver(small());
  int refused = 0;
  while (!driver.ended && refused < 100) {
    driver.check_in(0, 5);
    if (driver.tasks.empty()) {
      driver.now = *driver.machine.next_deadline();
      driver.send(Tick{});
      continue;
    }
    driver.send(Refused{driver.take(driver.tasks.begin()->first), "it is not finite"});
    ++refused;
  }
  EXPECT_EQ(refused, 9);
  ASSERT_TRUE(driver.ended);
  EXPECT_TRUE(driver.ended->refused);
  EXPECT_NE(driver.ended->reason.find("it is not finite"), std::string::npos) << driver.ended->reason;
}

TEST(BufferMachine, OneClientThatFailsFastEndsNothingAndRestsForLonger) {
  BufferOptions options = small();
  options.clients = 3;
  options.task_deadline = 100h;
  options.quiet_max = 100h;
  Driver driver(options);
  driver.check_in(0, 2);
  ASSERT_EQ(driver.tasks.size(), 3U);
  for (int time = 0; time < 30; ++time) {
    driver.send(Refused{driver.take(1), "no memory"});
    driver.send(CheckedIn{1});
    ASSERT_FALSE(driver.tasks.contains(1)) << "it would fail again";
    driver.pass(time == 0 ? 999ms : time < 7 ? 1s : 59s);
    ASSERT_FALSE(driver.tasks.contains(1)) << time;
    driver.pass(time == 0 ? 1ms : 60s);
    ASSERT_FALSE(driver.ended) << "the others are at work";
    ASSERT_TRUE(driver.tasks.contains(1)) << time;
  }
  driver.send(Refused{driver.take(1), "no memory"});
  driver.send(CheckedIn{1});
  for (const ClientId other : {0, 2}) driver.report(other);
  driver.send(Committed{});
  EXPECT_TRUE(driver.tasks.contains(1)) << "with a new version it may try again";
}

TEST(BufferMachine, AFastClientIsNotAVersionAlone) {
  BufferOptions options = small();
  options.clients = 3;
  options.buffer = 3;
  Driver driver(options);
  driver.check_in(0, 2);
  driver.report(1);
  driver.send(CheckedIn{1});
  EXPECT_FALSE(driver.tasks.contains(1)) << "two others are at work";
  driver.report(0);
  driver.report(2);
  EXPECT_EQ(driver.commits, 1);
  EXPECT_TRUE(driver.tasks.contains(1)) << "the next buffer is empty";
}

TEST(BufferMachine, FewerClientsThanABufferHoldsFillItAllTheSame) {
  BufferOptions options = small();
  options.clients = 2;
  options.at_work = 2;
  options.buffer = 5;
  Driver driver(options);
  for (int update = 0; update < 5; ++update) {
    driver.check_in(0, 1);
    ASSERT_FALSE(driver.tasks.empty()) << update;
    driver.report(driver.tasks.begin()->first);
  }
  EXPECT_EQ(driver.commits, 1);
}

TEST(BufferMachine, ATaskThatHasItsModelIsOfThatVersionForGood) {
  Driver driver(small());
  driver.check_in(0, 5);
  const ClientId slow = driver.tasks.rbegin()->first;
  const std::string task = driver.tasks.at(slow).task_id;
  driver.send(Fetching{task});
  driver.send(Downloaded{task});
  driver.report(driver.tasks.begin()->first);
  driver.report(driver.tasks.begin()->first);
  driver.send(Committed{});
  EXPECT_FALSE(driver.machine.step(Fetching{task}, driver.now)) << "it could train with the old one";
  EXPECT_EQ(driver.machine.known(task)->number, 1);
  driver.take(slow);
  driver.send(CheckedIn{slow});
  EXPECT_TRUE(driver.forgotten.contains(task));
  EXPECT_EQ(driver.machine.judge(task, driver.now), Judgement::kLate);
  for (const auto& [client, given] : driver.tasks) EXPECT_NE(given.task_id, task);
}

TEST(BufferMachine, AnEventThatDoesNotFitChangesNothing) {
  Driver driver(small());
  driver.check_in(0, 5);
  const auto before = driver.machine.counts();
  for (const Event& event : std::initializer_list<Event>{
           Arrived{"x"}, Reported{"x"}, Refused{"x", ""}, Lapsed{"x"}, Downloaded{"x"}, Fetching{"x"},
           Committed{}, CheckedIn{6}, CheckedIn{-1}, Reported{driver.tasks.begin()->second.task_id}})
    EXPECT_FALSE(driver.machine.step(event, driver.now)) << event.index();
  EXPECT_EQ(driver.machine.counts().selected, before.selected);
  EXPECT_EQ(driver.machine.counts().dropped, before.dropped);
}

// Clients that lose tasks, vanish, answer late, twice, or with rubbish.
class Simulation {
 public:
  explicit Simulation(std::uint64_t seed) : random_(seed), machine_(options_of(random_, seed), now_) {
    Random again(seed);
    options_ = options_of(again, seed);
  }
  // Everything that was done, as text: the same for the same seed.
  std::string run() {
    for (ClientId client = 0; client < options_.clients; ++client) plan(0, CheckedIn{client});
    for (int steps = 0; !machine_.over(); ++steps) {
      EXPECT_LT(steps, 100'000) << "it does not end";
      const auto timer = machine_.next_deadline();
      EXPECT_TRUE(timer) << "it would wait for ever";
      if (steps >= 100'000 || !timer) return log_;
      if (events_.empty() || events_.top().at > *timer) {
        now_ = std::max(now_, *timer);
        feed(Tick{});
        continue;
      }
      const Planned next = events_.top();
      events_.pop();
      now_ = std::max(now_, next.at);
      deliver(next.event);
      if (testing::Test::HasFailure()) return log_;
    }
    EXPECT_EQ(commits_, machine_.counts().committed + (making_ ? 1 : 0));
    EXPECT_EQ(machine_.failed(), machine_.counts().committed < options_.versions) << machine_.outcome();
    return log_;
  }

 private:
  static BufferOptions options_of(Random& random, std::uint64_t seed) {
    const auto clients = static_cast<std::int64_t>(1 + random.below(20));
    return {.versions = static_cast<std::int64_t>(1 + random.below(12)),
            .clients = clients,
            .at_work = static_cast<std::int64_t>(1 + random.below(static_cast<std::uint64_t>(clients))),
            .buffer = static_cast<std::int64_t>(1 + random.below(8)),
            .staleness_max = static_cast<std::int64_t>(random.below(4)),
            .seed = seed,
            .new_task_id = [next = 0]() mutable { return std::to_string(++next); },
            .task_deadline = 10s,
            .quiet_max = 300s};
  }
  void plan(std::int64_t after_ms, Event event) {
    events_.push({now_ + milliseconds(after_ms), ++order_, std::move(event)});
  }
  std::int64_t soon(std::uint64_t max_ms) { return static_cast<std::int64_t>(random_.below(max_ms)); }

  void deliver(const Event& event) {
    if (const auto* update = std::get_if<Arrived>(&event)) return arrive(update->task_id);
    if (const auto* folded = std::get_if<Reported>(&event)) return fold(folded->task_id);
    if (std::holds_alternative<Committed>(event)) making_ = false;
    feed(event);
  }
  void arrive(const std::string& task_id) {
    feed(Tick{});
    const auto known = machine_.known(task_id);
    switch (machine_.judge(task_id, now_)) {
      case Judgement::kFold:
        EXPECT_LE(gathering_ - known->number, options_.staleness_max);
        feed(Arrived{task_id});
        return plan(soon(300), Reported{task_id});
      case Judgement::kAlreadyCounted: EXPECT_TRUE(folded_.contains(task_id)); break;
      case Judgement::kLate: feed(Lapsed{task_id}); break;
      case Judgement::kBeingFolded:
      case Judgement::kUnknown: return;
    }
    check_in(known->client, task_id);
  }
  // After a task, unless it has another by now.
  void check_in(ClientId client, const std::string& task_id) {
    if (newest_.at(client) == task_id) plan(soon(50), CheckedIn{client});
  }
  void fold(const std::string& task_id) {
    if (machine_.over()) return;
    const ClientId client = machine_.known(task_id)->client;
    if (random_.below(20) == 0) {
      feed(Refused{task_id, "rubbish"});
    } else {
      EXPECT_TRUE(folded_.insert(task_id).second) << "counted twice: " << task_id;
      ++gathered_;
      feed(Reported{task_id});
    }
    check_in(client, task_id);
  }
  void feed(const Event& event) {
    auto effects = machine_.step(event, now_);
    if (!effects) return;
    for (const Effect& effect : *effects) std::visit([this](const auto& it) { act(it); }, effect);
  }
  void act(const BeginRound& begin) { log_ += "begin " + std::to_string(begin.round) + "\n"; }
  void act(const ForgetTask& task) { log_ += "forget " + task.task_id + "\n"; }
  void act(const AssignTask& task) {
    log_ += "task " + task.task_id + " of " + std::to_string(task.client) + "\n";
    newest_[task.client] = task.task_id;
    const std::uint64_t fate = random_.below(10);
    if (fate == 0) return;                                           // never comes back
    if (fate == 1) return plan(soon(3000), CheckedIn{task.client});  // lost its task
    plan(soon(200), Fetching{task.task_id});
    plan(200 + soon(300), Downloaded{task.task_id});
    if (fate == 4) return plan(600 + soon(20'000), CheckedIn{task.client});  // started anew, with nothing
    plan(500 + soon(fate == 2 ? 30'000 : 6'000), Arrived{task.task_id});
    if (fate == 3) plan(500 + soon(12'000), Arrived{task.task_id});  // its answer got lost
  }
  void act(const CommitRound& commit) {
    log_ += "commit " + std::to_string(commit.round) + "\n";
    EXPECT_FALSE(std::exchange(making_, true));
    EXPECT_EQ(commit.round, ++commits_);
    EXPECT_EQ(commit.reported, gathered_);
    EXPECT_GE(commit.reported, options_.buffer);
    gathered_ = 0;
    ++gathering_;
    plan(soon(100), Committed{});
  }
  void act(const AbandonRound& /*abandoned*/) { ADD_FAILURE() << "there are no rounds"; }
  void act(const Dismiss& /*dismissed*/) { EXPECT_TRUE(machine_.over()); }
  void act(const Ended& /*ended*/) { EXPECT_FALSE(std::exchange(ended_, true)); }

  Random random_;
  Instant now_{1h};
  BufferOptions options_;
  BufferMachine machine_;
  std::priority_queue<Planned> events_;
  std::uint64_t order_ = 0;
  std::set<std::string> folded_;
  std::map<ClientId, std::string> newest_;
  std::string log_;
  bool making_ = false;
  bool ended_ = false;
  std::int64_t gathered_ = 0;
  std::int64_t gathering_ = 1;
  std::int64_t commits_ = 0;
};

TEST(BufferSimulation, KeepsItsInvariantsForEverySeedAndDoesTheSameAgain) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const std::string log = Simulation(seed).run();
    if (HasFailure()) return;
    if (seed % 10 == 0) {
      EXPECT_EQ(Simulation(seed).run(), log);
    }
  }
}

}  // namespace
}  // namespace muster::agg
