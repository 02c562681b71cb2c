// tests/worker/nccl/comm_machine_test.cc: the communicator's machine, on a clock of the test's own
#include "worker/nccl/comm_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/random.h"
#include "worker/nccl/nccl_abi.h"

namespace muster::worker::nccl::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using Act = CommMachine::Act;

const Instant kStart{seconds(1'000)};

CommMachine machine(bool can_shrink = true) {
  return CommMachine({.self = "rank 1 (10.0.0.2:8471)", .can_shrink = can_shrink, .abort_time = seconds(5)});
}
CommMachine joined(bool can_shrink = true) {
  CommMachine made = machine(can_shrink);
  made.begin(Work::kJoin, 0, kStart + seconds(10));
  EXPECT_EQ(made.next(kStart), Act::kIssue);
  made.issued(kInProgress, "");
  EXPECT_EQ(made.next(kStart), Act::kPoll);
  made.polled(kSuccess, true, "");
  EXPECT_EQ(made.state(), CommState::kReady);
  EXPECT_TRUE(made.outcome() && *made.outcome());
  return made;
}
CommMachine summing(bool can_shrink = true) {
  CommMachine made = joined(can_shrink);
  made.begin(Work::kSum, 77, kStart + seconds(2));
  EXPECT_EQ(made.next(kStart), Act::kIssue);
  return made;
}
Error error_of(const CommMachine& machine) {
  EXPECT_TRUE(machine.outcome() && !*machine.outcome());
  return machine.outcome() && !*machine.outcome() ? machine.outcome()->error() : Error{};
}

TEST(CommMachine, PollsUntilWhatWasBegunIsDone) {
  CommMachine machine = summing();
  EXPECT_EQ(machine.next(kStart), Act::kAwait) << "the call is made once";
  machine.issued(kSuccess, "");
  EXPECT_EQ(machine.next(kStart), Act::kPoll);
  EXPECT_EQ(machine.next(kStart), Act::kAwait);
  machine.polled(kInProgress, false, "");
  EXPECT_EQ(machine.next(kStart), Act::kPoll);
  machine.polled(kSuccess, false, "");
  EXPECT_FALSE(machine.outcome()) << "the communicator is well, but the stream has not come to the end";
  EXPECT_EQ(machine.next(kStart), Act::kPoll);
  machine.polled(kSuccess, true, "");
  EXPECT_EQ(machine.state(), CommState::kReady);
  EXPECT_EQ(machine.sums(), 1);
}

TEST(CommMachine, ACallThatDoesNotReturnEndsAtItsDeadlineAndNamesRankSumAndRemedy) {
  CommMachine machine = summing();
  EXPECT_EQ(machine.next(kStart + milliseconds(1'999)), Act::kAwait);
  EXPECT_EQ(machine.next(kStart + seconds(2)), Act::kAbort);
  const Error error = error_of(machine);
  EXPECT_EQ(error.code, Code::kDeadlineExceeded);
  EXPECT_THAT(error.message,
              AllOf(HasSubstr("rank 1 (10.0.0.2:8471): sum 1 of this membership, of 77 values"),
                    HasSubstr("ncclAllReduce has not returned after 2.0 s"), HasSubstr("NCCL_DEBUG=INFO")));
  machine.issued(kSuccess, "");  // it comes too late
  EXPECT_EQ(machine.state(), CommState::kAborting);
  machine.abort_returned(kStart + seconds(3));
  EXPECT_EQ(machine.state(), CommState::kEmpty);
}

TEST(CommMachine, WorkThatStaysInProgressEndsAtItsDeadline) {
  CommMachine machine = summing();
  machine.issued(kSuccess, "");
  EXPECT_EQ(machine.next(kStart), Act::kPoll);
  machine.polled(kInProgress, false, "");
  EXPECT_EQ(machine.next(kStart + seconds(2)), Act::kAbort);
  EXPECT_THAT(error_of(machine).message, HasSubstr("ncclAllReduce is still in progress after 2.0 s"));
}

TEST(CommMachine, AnAbortThatDoesNotReturnIsTheEndOfTheProcess) {
  CommMachine machine = summing();
  EXPECT_EQ(machine.next(kStart + seconds(2)), Act::kAbort);
  EXPECT_EQ(machine.next(kStart + milliseconds(6'999)), Act::kAwait);
  EXPECT_EQ(machine.state(), CommState::kAborting);
  EXPECT_EQ(machine.next(kStart + seconds(7)), Act::kAwait);
  EXPECT_EQ(machine.state(), CommState::kStuck);
  machine.abort_returned(kStart + seconds(8));
  EXPECT_EQ(machine.state(), CommState::kStuck) << "nobody knows any more what it has left";
}

TEST(CommMachine, OfItsOwnFailuresTheProcessEndsOfAPeersItGoesOn) {
  for (const int result : {kUnhandledCudaError, kSystemError, kInternalError, kInvalidUsage, 99}) {
    CommMachine machine = summing();
    machine.issued(result, "the driver says so");
    EXPECT_EQ(error_of(machine).code, Code::kInternal) << result;
    EXPECT_THAT(error_of(machine).message, HasSubstr("the driver says so"));
    EXPECT_EQ(machine.next(kStart), Act::kAbort);
  }
  CommMachine machine = summing();
  machine.issued(kSuccess, "");
  EXPECT_EQ(machine.next(kStart), Act::kPoll);
  machine.polled(kRemoteError, false, "");
  EXPECT_EQ(error_of(machine).code, Code::kUnavailable);
  EXPECT_THAT(error_of(machine).message, HasSubstr("NCCL of another rank failed"));
}

TEST(CommMachine, ALostRankLeavesACommunicatorThatCanShrinkOneThatCannotIsAborted) {
  const Error lost = unavailable("rank 2 (10.0.0.3:8471) closed the connection");
  CommMachine kept = summing();
  kept.lost(lost, kStart);
  EXPECT_EQ(kept.state(), CommState::kKept);
  EXPECT_EQ(error_of(kept).code, Code::kUnavailable);
  EXPECT_THAT(error_of(kept).message, HasSubstr("rank 2 (10.0.0.3:8471) closed the connection"));
  EXPECT_EQ(kept.next(kStart + seconds(100)), Act::kAwait) << "until the next membership decides";
  kept.release(kStart + seconds(100));
  EXPECT_EQ(kept.next(kStart + seconds(100)), Act::kAbort);

  CommMachine old = summing(false);
  old.lost(lost, kStart);
  EXPECT_EQ(old.next(kStart), Act::kAbort);

  CommMachine joining = machine();
  joining.begin(Work::kJoin, 0, kStart + seconds(1));
  joining.lost(lost, kStart);
  EXPECT_EQ(joining.state(), CommState::kAborting) << "half a communicator is no parent";
}

TEST(CommMachine, FinishingLeavesNothing) {
  CommMachine machine = joined();
  machine.begin(Work::kFinish, 0, kStart + seconds(1));
  EXPECT_EQ(machine.next(kStart), Act::kIssue);
  machine.issued(kSuccess, "");
  EXPECT_EQ(machine.next(kStart), Act::kPoll);
  machine.polled(kSuccess, true, "");
  EXPECT_EQ(machine.state(), CommState::kEmpty);
}

// Whatever comes in whatever order: an outcome is there by the deadline, an abort is asked for once, and a
// machine that aborts is at rest by its time.
TEST(CommMachine, EveryLifeEndsByItsDeadlines) {
  const auto seed = static_cast<std::uint64_t>(std::max(1, testing::UnitTest::GetInstance()->random_seed()));
  SCOPED_TRACE("seed " + std::to_string(seed));
  for (std::uint64_t life = 0; life < 2'000; ++life) {
    Random random(hash_key(seed, life));
    CommMachine machine = random.below(2) == 0 ? joined() : joined(false);
    machine.begin(Work::kSum, 5, kStart + seconds(2));
    Instant now = kStart;
    int aborts = 0;
    bool called = false;
    bool polling = false;
    while (now < kStart + seconds(12)) {
      switch (machine.next(now)) {
        case Act::kIssue: called = true; break;
        case Act::kPoll: polling = true; break;
        case Act::kAbort: ++aborts; break;
        case Act::kAwait: break;
      }
      const int result = static_cast<int>(random.below(9));
      if (called && random.below(4) == 0) machine.issued(result, ""), called = false;
      if (polling && random.below(2) == 0) machine.polled(result, random.below(2) == 0, ""), polling = false;
      if (random.below(40) == 0) machine.lost(unavailable("rank 0 is gone"), now);
      if (random.below(40) == 0) machine.release(now);
      if (aborts > 0 && random.below(40) == 0) machine.abort_returned(now);
      if (now >= kStart + seconds(2)) {
        ASSERT_TRUE(machine.outcome()) << "life " << life;
      }
      now += milliseconds(random.below(200));
    }
    ASSERT_LE(aborts, 1) << "life " << life;
    ASSERT_NE(machine.state(), CommState::kWorking) << "life " << life;
  }
}

}  // namespace
}  // namespace muster::worker::nccl::test
