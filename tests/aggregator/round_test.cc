// tests/aggregator/round_test.cc: the round machine, one transition at a time
#include "aggregator/round/round.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>

namespace muster::agg {
namespace {

using namespace std::chrono_literals;

// Drives a machine as the shell does: keeps the tasks it hands out.
class Driver {
 public:
  explicit Driver(RoundOptions options) : machine(std::move(options), now) {}

  void report(const std::string& task) {
    send(Arrived{task});
    send(Reported{task});
  }

  void send(const Event& event) {
    auto effects = machine.step(event, now);
    ASSERT_TRUE(effects) << effects.error().message;
    for (const Effect& effect : *effects) {
      if (const auto* task = std::get_if<AssignTask>(&effect)) tasks[task->client] = task->task_id;
      if (std::holds_alternative<CommitRound>(effect)) ++commits;
      if (std::holds_alternative<AbandonRound>(effect)) ++abandoned;
      if (const auto* dismissed = std::get_if<Dismiss>(&effect)) home.insert(dismissed->client);
      if (const auto* end = std::get_if<Ended>(&effect)) ended = *end;
    }
  }
  void check_in(ClientId first, ClientId last) {
    for (ClientId client = first; client <= last; ++client) send(CheckedIn{client});
  }
  void pass(std::chrono::milliseconds time) {
    now += time;
    send(Tick{});
  }
  [[nodiscard]] std::string any_task() const { return tasks.begin()->second; }

  Instant now{1h};
  RoundMachine machine;
  std::map<ClientId, std::string> tasks;
  std::set<ClientId> home;
  int commits = 0;
  int abandoned = 0;
  std::optional<Ended> ended;
};

RoundOptions small() {
  return {.rounds = 2,
          .clients = 6,
          .size = 2,
          .selected = 3,
          .minimum = 1,
          .seed = 7,
          .new_task_id = [next = 0]() mutable { return std::to_string(++next); },
          .report_deadline = 10s};
}

TEST(DrawCohort, IsTheSameForTheSameSeedAndRoundWhateverTheOrder) {
  EXPECT_EQ(draw_cohort({1, 2, 3, 4, 5, 6}, 3, 9, 4, 0), draw_cohort({6, 4, 2, 5, 3, 1}, 3, 9, 4, 0));
}

TEST(DrawCohort, TakesEveryClientEquallyOften) {
  std::vector<int> drawn(20, 0);
  std::vector<ClientId> all(20);
  std::iota(all.begin(), all.end(), 0);
  constexpr int kRounds = 8000;
  for (int round = 0; round < kRounds; ++round) {
    for (const Drawn& each : draw_cohort(all, 5, 42, round, 0))
      ++drawn[static_cast<std::size_t>(each.client)];
  }
  for (const int times : drawn) EXPECT_NEAR(times, kRounds / 4.0, 200);  // five standard deviations
}

TEST(RoundMachine, SelectsAtOnceWhenEveryClientIsThere) {
  Driver driver(small());
  driver.check_in(0, 4);
  EXPECT_EQ(driver.machine.state(), RoundState::kSelecting);
  driver.check_in(5, 5);
  EXPECT_EQ(driver.machine.state(), RoundState::kReporting);
  EXPECT_EQ(driver.tasks.size(), 3U);
}

TEST(RoundMachine, SelectsAfterTheGraceWhenEnoughAreThere) {
  Driver driver(small());
  driver.check_in(0, 3);
  driver.pass(1999ms);
  EXPECT_EQ(driver.machine.state(), RoundState::kSelecting);
  driver.pass(1ms);
  EXPECT_EQ(driver.machine.state(), RoundState::kReporting);
}

TEST(RoundMachine, DoesNotWaitAgainForClientsThatDidNotComeInTheGrace) {
  Driver driver(small());
  driver.check_in(0, 3);
  driver.pass(2s);
  for (const auto& [client, task] : std::map(driver.tasks)) {
    if (driver.machine.state() == RoundState::kReporting) driver.report(task);
  }
  driver.send(Committed{});
  driver.check_in(0, 3);
  EXPECT_EQ(driver.machine.state(), RoundState::kReporting);  // without clients 4 and 5
}

TEST(RoundMachine, ClosesAtSizeAndTellsTheRestThatItIsLate) {
  Driver driver(small());
  driver.check_in(0, 5);
  auto task = driver.tasks.begin();
  driver.report((task++)->second);
  EXPECT_EQ(driver.commits, 0);
  driver.report((task++)->second);
  EXPECT_EQ(driver.commits, 1);
  EXPECT_EQ(driver.machine.judge(task->second, driver.now), Judgement::kLate);
  driver.send(Lapsed{task->second});
  driver.send(Lapsed{task->second});
  EXPECT_EQ(driver.machine.counts().late, 1);
  EXPECT_EQ(driver.machine.counts().dropped, 0);
}

TEST(RoundMachine, AClientThatIsNeverHeardOfAgainIsDroppedAndAwayAfterAFewRounds) {
  RoundOptions options = small();
  options.rounds = 10;
  options.clients = 3;
  Driver driver(options);
  std::optional<ClientId> dead;
  for (int round = 0; round < 5; ++round) {
    driver.tasks.clear();
    for (ClientId client = 0; client < 3; ++client) {
      if (client != dead) driver.send(CheckedIn{client});
    }
    driver.pass(2s);  // the grace, once a client is missing
    if (!dead) dead = driver.tasks.rbegin()->first;
    EXPECT_EQ(driver.machine.counts().dropped, 0);
    EXPECT_EQ(driver.machine.counts().connected, 3) << "it may be at work still";
    for (const auto& [client, task] : std::map(driver.tasks)) {
      if (client != dead) driver.report(task);
    }
    driver.send(Committed{});
  }
  EXPECT_EQ(driver.machine.counts().dropped, 1);
  EXPECT_EQ(driver.machine.counts().connected, 2);
  EXPECT_EQ(driver.machine.counts().late, 0);
}

TEST(RoundMachine, ClosesAtTheDeadlineWithTheMinimum) {
  Driver driver(small());
  driver.check_in(0, 5);
  driver.report(driver.any_task());
  driver.pass(10s);
  EXPECT_EQ(driver.commits, 1);
  EXPECT_EQ(driver.machine.counts().dropped, 2);
}

TEST(RoundMachine, AnUpdateThatArrivedInTimeIsFoldedBeyondTheDeadline) {
  Driver driver(small());
  driver.check_in(0, 5);
  driver.send(Arrived{driver.any_task()});
  EXPECT_EQ(driver.machine.judge(driver.any_task(), driver.now), Judgement::kBeingFolded);
  driver.pass(10'001ms);
  EXPECT_EQ(driver.machine.state(), RoundState::kReporting);
  EXPECT_FALSE(driver.machine.next_deadline()) << "there is nothing to do but to wait for the fold";
  const std::string other = driver.tasks.rbegin()->second;
  EXPECT_EQ(driver.machine.judge(other, driver.now), Judgement::kLate);
  driver.send(Lapsed{other});
  driver.send(Reported{driver.any_task()});
  EXPECT_EQ(driver.commits, 1);
  EXPECT_EQ(driver.machine.counts().late, 1);
  EXPECT_EQ(driver.machine.counts().dropped, 1) << "the third one; a late one is not dropped";
}

TEST(RoundMachine, WhatArrivedAfterTheLastReportThatWasNeededIsLate) {
  Driver driver(small());
  driver.check_in(0, 5);
  std::vector<std::string> tasks;
  for (const auto& [client, task] : driver.tasks) tasks.push_back(task);
  for (const std::string& task : tasks) driver.send(Arrived{task});
  driver.send(Reported{tasks[0]});
  driver.send(Reported{tasks[1]});
  EXPECT_EQ(driver.commits, 1);
  EXPECT_EQ(driver.machine.judge(tasks[2], driver.now), Judgement::kLate);
  EXPECT_FALSE(driver.machine.step(Reported{tasks[2]}, driver.now));
}

TEST(RoundMachine, KnowsWhoseTaskItIsWhileItIsRemembered) {
  Driver driver(small());
  driver.check_in(0, 5);
  const auto [client, task] = *driver.tasks.begin();
  EXPECT_EQ(driver.machine.known(task)->client, client);
  driver.pass(10s);
  EXPECT_EQ(driver.machine.known(task)->client, client) << "its round is over";
  EXPECT_FALSE(driver.machine.known("another"));
}

TEST(RoundMachine, AnUpdateAfterTheDeadlineIsLateAndNotDropped) {
  Driver driver(small());
  driver.check_in(0, 5);
  driver.report(driver.any_task());
  driver.pass(10s);
  driver.send(Lapsed{driver.tasks.rbegin()->second});
  EXPECT_EQ(driver.machine.counts().late, 1);
  EXPECT_EQ(driver.machine.counts().dropped, 1);
}

TEST(RoundMachine, TriesARoundAgainThatCameToNothing) {
  Driver driver(small());
  driver.check_in(0, 5);
  const auto before = driver.tasks;
  driver.tasks.clear();
  driver.pass(10s);
  EXPECT_EQ(driver.abandoned, 1);
  EXPECT_EQ(driver.machine.round(), 1);
  EXPECT_EQ(driver.machine.state(), RoundState::kReporting);  // with the three that were not at work
  for (const auto& [client, task] : before) EXPECT_FALSE(driver.tasks.contains(client));
}

TEST(RoundMachine, FailsAfterThreeRoundsInARowThatCameToNothing) {
  Driver driver(small());
  for (int attempt = 0; attempt < 3; ++attempt) {
    driver.check_in(0, 5);
    driver.pass(2s);  // the grace for those who are thought to be at work still
    driver.pass(10s);
  }
  EXPECT_EQ(driver.machine.state(), RoundState::kFailed);
  ASSERT_TRUE(driver.ended);
  EXPECT_TRUE(driver.ended->failed);
  EXPECT_FALSE(driver.ended->refused);
  EXPECT_NE(driver.ended->reason.find("0 of 3 selected clients reported"), std::string::npos)
      << driver.ended->reason;
  EXPECT_NE(driver.ended->reason.find("stragglers.deadlineSeconds"), std::string::npos);
}

TEST(RoundMachine, ARoundWhoseUpdatesAreAllRefusedEndsAtOnceWithTheReason) {
  Driver driver(small());
  for (int attempt = 0; attempt < 3; ++attempt) {
    driver.tasks.clear();
    driver.check_in(0, 5);
    for (const auto& [client, task] : std::map(driver.tasks))
      driver.send(Refused{task, "the loss is not finite"});
  }
  ASSERT_TRUE(driver.ended);
  EXPECT_TRUE(driver.ended->refused);
  EXPECT_NE(driver.ended->reason.find("the loss is not finite"), std::string::npos) << driver.ended->reason;
  EXPECT_EQ(driver.ended->reason.find("deadlineSeconds"), std::string::npos)
      << "nobody was too slow: " << driver.ended->reason;
}

TEST(RoundMachine, OneGoodUpdateBesideRefusedOnesLeavesHopeForAnotherTry) {
  RoundOptions options = small();
  options.minimum = 3;
  options.size = 3;
  Driver driver(options);
  for (int attempt = 0; attempt < 3; ++attempt) {
    driver.tasks.clear();
    driver.check_in(0, 5);
    const auto tasks = driver.tasks;
    ASSERT_EQ(tasks.size(), 3U);
    for (const auto& [client, task] : tasks) {
      if (client == tasks.begin()->first) {
        driver.report(task);
      } else {
        driver.send(Refused{task, "its SHA-256 is not the one in its header"});
      }
    }
  }
  ASSERT_TRUE(driver.ended);
  EXPECT_TRUE(driver.ended->failed);
  EXPECT_FALSE(driver.ended->refused);
}

TEST(RoundMachine, GivesAClientThatLostItsTaskTheSameOneAgain) {
  Driver driver(small());
  driver.check_in(0, 5);
  const auto [client, task] = *driver.tasks.begin();
  driver.tasks.clear();
  driver.send(CheckedIn{client});
  EXPECT_EQ(driver.tasks[client], task);
}

TEST(RoundMachine, DoesNotSelectAClientTwiceInOneRound) {
  Driver driver(small());
  driver.check_in(0, 5);
  const auto [client, task] = *driver.tasks.begin();
  driver.report(task);
  driver.tasks.clear();
  driver.send(CheckedIn{client});
  EXPECT_TRUE(driver.tasks.empty());
}

TEST(RoundMachine, CountsADuplicateOnce) {
  Driver driver(small());
  driver.check_in(0, 5);
  driver.report(driver.any_task());
  EXPECT_EQ(driver.machine.judge(driver.any_task(), driver.now), Judgement::kAlreadyCounted);
  EXPECT_FALSE(driver.machine.step(Reported{driver.any_task()}, driver.now));
  EXPECT_EQ(driver.machine.counts().reported, 1);
}

TEST(RoundMachine, ReplacedPodsClientsGetTheirTasksBack) {
  Driver driver(small());
  driver.check_in(0, 5);
  const auto before = driver.tasks;
  driver.tasks.clear();
  driver.check_in(0, 5);
  EXPECT_EQ(driver.tasks, before);
}

TEST(RoundMachine, WrongEventsAreErrorsAndChangeNothing) {
  const std::vector<Event> wrong{CheckedIn{-1},    CheckedIn{6},         Left{99, false},
                                 Downloaded{"no"}, Arrived{"no"},        Reported{"no"},
                                 Lapsed{"no"},     Refused{"no", "why"}, Committed{}};
  Driver driver(small());
  driver.check_in(0, 3);
  for (const Event& event : wrong) {
    EXPECT_FALSE(driver.machine.step(event, driver.now)) << event.index();
    EXPECT_EQ(driver.machine.state(), RoundState::kSelecting);
    EXPECT_EQ(driver.machine.counts().connected, 4);
  }
}

TEST(RoundMachine, TasksOfAnotherProcessAreUnknown) {
  Driver driver(small());
  driver.check_in(0, 5);
  EXPECT_EQ(driver.machine.judge("other-r1-a0-c0", driver.now), Judgement::kUnknown);
  EXPECT_EQ(driver.machine.task_deadline("other-r1-a0-c0").error().code, Code::kNotFound);
}

TEST(RoundMachine, SendsEverybodyHomeAfterTheLastRound) {
  RoundOptions options = small();
  options.rounds = 1;
  options.selected = 2;
  Driver driver(options);
  driver.check_in(0, 5);
  for (const auto& [client, task] : std::map(driver.tasks)) driver.report(task);
  driver.send(Committed{});
  EXPECT_EQ(driver.machine.state(), RoundState::kFinished);
  EXPECT_EQ(driver.home.size(), 4U);  // those that were not at work
  driver.check_in(0, 5);
  EXPECT_EQ(driver.home.size(), 6U);
}

TEST(RoundMachine, StopsInTheMiddleOfARound) {
  Driver driver(small());
  driver.check_in(0, 5);
  driver.send(Stopped{"the target is reached"});
  EXPECT_EQ(driver.machine.state(), RoundState::kFinished);
  EXPECT_EQ(driver.machine.judge(driver.any_task(), driver.now), Judgement::kLate);
  EXPECT_FALSE(driver.machine.step(Stopped{"again"}, driver.now));
}

TEST(RoundMachine, TakesTheMinimumWhenTheSelectionRunsOut) {
  RoundOptions options = small();
  options.selection_timeout = 30s;
  Driver driver(options);
  driver.check_in(0, 0);
  driver.pass(30s);
  EXPECT_EQ(driver.tasks.size(), 1U);
}

TEST(RoundMachine, SaysHowManyClientsCameWhenTheSelectionFails) {
  RoundOptions options = small();
  options.selection_timeout = 30s;
  options.failures_max = 1;
  options.minimum = 2;
  Driver driver(options);
  driver.check_in(0, 0);
  driver.pass(30s);
  ASSERT_TRUE(driver.ended);
  EXPECT_NE(driver.ended->reason.find("1 of 6 clients were checked in after 30 s"), std::string::npos);
}

}  // namespace
}  // namespace muster::agg
