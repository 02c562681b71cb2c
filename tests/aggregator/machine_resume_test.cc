// tests/aggregator/machine_resume_test.cc: machines that go on where an earlier process was, and updates that
// are sent back
#include <gtest/gtest.h>

#include <algorithm>

#include "aggregator/round/buffer.h"
#include "aggregator/round/round.h"

namespace muster::agg {
namespace {

using namespace std::chrono_literals;

constexpr Instant kNow{1h};

RoundMachine rounds(std::int64_t size, std::int64_t minimum, bool late_counts = false) {
  static int names = 0;
  RoundOptions options;
  options.rounds = 9;
  options.first_round = 3;
  options.clients = 5;
  options.size = size;
  options.selected = size;
  options.minimum = minimum;
  options.late_counts = late_counts;
  options.new_task_id = [] { return "new" + std::to_string(++names); };
  options.report_deadline = 60s;
  return {options, kNow};
}
ResumedTask task(std::string id, ClientId client, std::int64_t number, TaskFate fate, std::uint64_t cycle) {
  return {.id = std::move(id),
          .client = client,
          .number = number,
          .copies = 1,
          .serial = client + 1,
          .fate = fate,
          .cycle = cycle};
}
template <typename Wanted>
std::vector<Wanted> all(const Effects& effects) {
  std::vector<Wanted> found;
  for (const Effect& effect : effects)
    if (const auto* it = std::get_if<Wanted>(&effect)) found.push_back(*it);
  return found;
}

TEST(RoundResume, GoesOnWithItsCohortAndAsksNobodyAgainWhoAnswered) {
  RoundMachine machine = rounds(3, 3);
  machine.restore(
      {.attempt = 1,
       .cycle = 7,
       .tasks = {task("old", 4, 2, TaskFate::kReported, 0), task("a", 0, 3, TaskFate::kArrived, 7),
                 task("b", 1, 3, TaskFate::kAssigned, 7), task("c", 2, 3, TaskFate::kArrived, 7)}},
      kNow);
  EXPECT_EQ(machine.state(), RoundState::kReporting);
  EXPECT_EQ(machine.judge("old", kNow), Judgement::kAlreadyCounted);
  EXPECT_EQ(machine.judge("a", kNow), Judgement::kBeingFolded);
  EXPECT_EQ(machine.judge("b", kNow), Judgement::kFold);
  EXPECT_EQ(machine.next_deadline(), kNow + 60s) << "anew";
  ASSERT_TRUE(machine.step(Reported{"a"}, kNow));
  EXPECT_TRUE(all<AssignTask>(*machine.step(CheckedIn{0}, kNow)).empty()) << "it has answered";
  const auto again = all<AssignTask>(*machine.step(CheckedIn{1}, kNow));
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].task_id, "b");
  ASSERT_TRUE(machine.step(Reported{"c"}, kNow));
  ASSERT_TRUE(machine.step(Arrived{"b"}, kNow));
  EXPECT_EQ(all<CommitRound>(*machine.step(Reported{"b"}, kNow)).size(), 1U);
}

TEST(RoundResume, TasksOfAnAttemptThatIsOverAreClosed) {
  RoundMachine machine = rounds(2, 2);
  machine.restore({.attempt = 1, .cycle = 8, .tasks = {task("a", 0, 3, TaskFate::kAssigned, 7)}}, kNow);
  EXPECT_EQ(machine.state(), RoundState::kSelecting);
  EXPECT_EQ(machine.judge("a", kNow), Judgement::kLate);
}

TEST(RoundResume, WhatItTellsOfItselfIsWhatItIsRestoredFrom) {
  const Resume told{
      .attempt = 2,
      .cycle = 9,
      .tasks = {task("old", 4, 2, TaskFate::kReported, 0), task("late", 3, 2, TaskFate::kLate, 0),
                task("a", 0, 3, TaskFate::kArrived, 9), task("b", 1, 3, TaskFate::kRefused, 9)}};
  RoundMachine machine = rounds(2, 1, true);
  machine.restore(told, kNow);
  Resume again = machine.resume();
  EXPECT_EQ(again.attempt, 2);
  EXPECT_EQ(again.cycle, 9U);
  ASSERT_EQ(again.tasks.size(), told.tasks.size());
  for (ResumedTask wanted : told.tasks) {
    wanted.serial = 0;  // of federations without rounds
    EXPECT_NE(std::find(again.tasks.begin(), again.tasks.end(), wanted), again.tasks.end()) << wanted.id;
  }
}

TEST(RoundResume, AnUpdateThatIsSentBackMayComeAgainUntilTheDeadline) {
  RoundMachine machine = rounds(2, 1);
  machine.restore(
      {.attempt = 0,
       .cycle = 1,
       .tasks = {task("a", 0, 3, TaskFate::kAssigned, 1), task("b", 1, 3, TaskFate::kAssigned, 1)}},
      kNow);
  ASSERT_TRUE(machine.step(Arrived{"a"}, kNow));
  ASSERT_TRUE(machine.step(Returned{"a"}, kNow));
  EXPECT_FALSE(machine.step(Reported{"a"}, kNow)) << "it is not here";
  EXPECT_EQ(machine.judge("a", kNow), Judgement::kFold);
  ASSERT_TRUE(machine.step(Arrived{"a"}, kNow));
  ASSERT_TRUE(machine.step(Reported{"a"}, kNow));
  ASSERT_TRUE(machine.step(Arrived{"b"}, kNow));
  EXPECT_TRUE(all<CommitRound>(*machine.step(Tick{}, kNow + 61s)).empty()) << "it arrived in time";
  const auto effects = machine.step(Returned{"b"}, kNow + 61s);
  EXPECT_EQ(all<CommitRound>(*effects).size(), 1U) << "but is not here, and nobody waits any longer";
  EXPECT_EQ(machine.judge("b", kNow + 61s), Judgement::kLate);
}

TEST(RoundResume, ATaskThatCameLateIsNotTrainedAgainForNothing) {
  RoundMachine machine = rounds(2, 1);
  machine.restore({.attempt = 0,
                   .cycle = 1,
                   .tasks = {task("a", 0, 3, TaskFate::kLate, 1), task("b", 1, 3, TaskFate::kAssigned, 1)}},
                  kNow);
  EXPECT_EQ(machine.judge("a", kNow), Judgement::kLate);
  EXPECT_TRUE(all<AssignTask>(*machine.step(CheckedIn{0}, kNow)).empty());
  EXPECT_EQ(all<AssignTask>(*machine.step(CheckedIn{1}, kNow)).size(), 1U);
}

BufferMachine buffer(std::int64_t at_work = 2) {
  static int names = 0;
  return {BufferOptions{.versions = 9,
                        .committed = 4,
                        .clients = 4,
                        .at_work = at_work,
                        .buffer = 2,
                        .new_task_id = [] { return "new" + std::to_string(++names); },
                        .task_deadline = 60s},
          kNow};
}

TEST(BufferResume, GoesOnWithItsBufferAndItsClients) {
  BufferMachine machine = buffer();
  machine.restore(
      {.attempt = 0,
       .cycle = 0,
       .tasks = {task("old", 3, 4, TaskFate::kReported, 0), task("a", 0, 5, TaskFate::kArrived, 0),
                 task("b", 1, 4, TaskFate::kAssigned, 0)}},
      kNow);
  EXPECT_EQ(machine.judge("old", kNow), Judgement::kAlreadyCounted);
  EXPECT_EQ(machine.known("b")->number, 4);
  ASSERT_TRUE(machine.step(Reported{"a"}, kNow));
  EXPECT_EQ(machine.counts().reported, 1);
  EXPECT_TRUE(all<AssignTask>(*machine.step(CheckedIn{0}, kNow)).empty()) << "it has an update in the buffer";
  EXPECT_EQ(all<AssignTask>(*machine.step(CheckedIn{1}, kNow))[0].task_id, "b");
  const auto third = all<AssignTask>(*machine.step(CheckedIn{2}, kNow));
  ASSERT_EQ(third.size(), 1U);
  EXPECT_GT(third[0].serial, 4) << "no serial is given twice";
  ASSERT_TRUE(machine.step(Arrived{"b"}, kNow));
  EXPECT_EQ(all<CommitRound>(*machine.step(Reported{"b"}, kNow)).size(), 1U);
}

TEST(BufferResume, AnUpdateThatIsSentBackMayComeAgainThoughAnotherHasItsPlace) {
  BufferMachine machine = buffer(1);
  machine.restore({.attempt = 0, .cycle = 0, .tasks = {task("a", 0, 5, TaskFate::kAssigned, 0)}}, kNow);
  ASSERT_TRUE(machine.step(CheckedIn{1}, kNow));
  EXPECT_EQ(all<AssignTask>(*machine.step(Arrived{"a"}, kNow)).size(), 1U);
  ASSERT_TRUE(machine.step(Returned{"a"}, kNow));
  EXPECT_EQ(machine.judge("a", kNow), Judgement::kFold);
  EXPECT_EQ(machine.judge("a", kNow + 60s), Judgement::kLate);
  ASSERT_TRUE(machine.step(Arrived{"a"}, kNow));
  ASSERT_TRUE(machine.step(Reported{"a"}, kNow));
  EXPECT_EQ(machine.counts().reported, 1);
}

TEST(BufferResume, AnUpdateThatWasSentBackDoesNotTakeThePlaceOfTheTaskAtWork) {
  BufferMachine machine = buffer(1);
  ResumedTask newer = task("newer", 0, 5, TaskFate::kAssigned, 0);
  newer.serial = 7;
  machine.restore({.attempt = 0,
                   .cycle = 0,
                   .tasks = {task("back", 0, 5, TaskFate::kAssigned, 0),
                             task("other", 1, 5, TaskFate::kAssigned, 0), newer}},
                  kNow);
  const auto again = all<AssignTask>(*machine.step(CheckedIn{0}, kNow));
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].task_id, "newer");
  for (const char* const id : {"back", "other"}) {
    EXPECT_EQ(machine.judge(id, kNow), Judgement::kFold) << id << " may still come";
    EXPECT_EQ(machine.judge(id, kNow + 60s), Judgement::kLate) << id;
  }
  const auto told = machine.resume().tasks;
  EXPECT_EQ(std::count_if(told.begin(), told.end(),
                          [](const ResumedTask& it) { return it.fate == TaskFate::kAssigned; }),
            3)
      << "as it will be told after another restart";
}

}  // namespace
}  // namespace muster::agg
