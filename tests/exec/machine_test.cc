// tests/exec/machine_test.cc: memberships and ends of a command, as values
#include "exec/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "pod/pod_contract.h"

namespace muster::exec {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

class MachineTest : public ::testing::Test {
 protected:
  static Assignment orders(std::int64_t membership, bool start, Environment environment = {{"RANK", "0"}}) {
    return {.uid = "u-1",
            .pod_uid = "p-1",
            .membership = membership,
            .for_exec = true,
            .start = start,
            .environment = start ? std::move(environment) : Environment{}};
  }
  std::vector<Effect> assign(std::int64_t membership, bool start) {
    auto effects = machine_.assign(orders(membership, start), now_);
    EXPECT_TRUE(effects) << effects.error().message;
    return effects ? *effects : std::vector<Effect>{};
  }
  void run(std::int64_t membership) {
    assign(membership, false);
    ASSERT_EQ(assign(membership, true).size(), 1U);
    ASSERT_EQ(machine_.told().phase, Phase::kRunning);
  }
  template <typename T>
  static const T* only(const std::vector<Effect>& effects) {
    return effects.size() == 1 ? std::get_if<T>(&effects.front()) : nullptr;
  }

  Instant now_{};
  Machine machine_{"u-1", "p-1", now_};
};

TEST_F(MachineTest, StartsOnceAllAreReady) {
  EXPECT_EQ(machine_.told().phase, Phase::kWaiting);
  EXPECT_TRUE(assign(1, false).empty());
  EXPECT_TRUE(machine_.told().ready);
  EXPECT_EQ(machine_.told().membership, 1);
  const auto effects = assign(1, true);
  const Start* start = only<Start>(effects);
  ASSERT_NE(start, nullptr);
  EXPECT_EQ(start->membership, 1);
  EXPECT_EQ(start->environment, (Environment{{"RANK", "0"}}));
  EXPECT_EQ(machine_.told().phase, Phase::kRunning);
  EXPECT_FALSE(machine_.told().ready);
  EXPECT_TRUE(assign(1, true).empty()) << "the same again";
  EXPECT_TRUE(assign(1, false).empty()) << "a call that was late";
  EXPECT_EQ(machine_.told().phase, Phase::kRunning);
}

TEST_F(MachineTest, EndsTheCommandForTheNextMembershipAndWaitsForAll) {
  run(1);
  const auto effects = assign(2, false);
  ASSERT_NE(only<Pass>(effects), nullptr);
  EXPECT_EQ(only<Pass>(effects)->number, SIGTERM);
  EXPECT_EQ(machine_.told().phase, Phase::kStarting);
  EXPECT_FALSE(machine_.told().ready);
  EXPECT_TRUE(machine_.ended(143, "", now_).empty());
  EXPECT_TRUE(machine_.told().ready);
  EXPECT_FALSE(machine_.told().end) << "it was asked to";
  ASSERT_NE(only<Start>(assign(2, true)), nullptr);
  EXPECT_EQ(machine_.told().starts, 2);
}

TEST_F(MachineTest, KillsACommandThatDoesNotEnd) {
  run(1);
  assign(2, false);
  EXPECT_TRUE(machine_.tick(now_ + kGrace - 1ms).empty());
  ASSERT_EQ(machine_.next_deadline(), now_ + kGrace);
  ASSERT_NE(only<KillAll>(machine_.tick(now_ + kGrace)), nullptr);
  EXPECT_TRUE(machine_.ended(137, "", now_ + kGrace).empty());
  EXPECT_TRUE(machine_.told().ready);
}

TEST_F(MachineTest, EndsTheContainerWhereItCannotBeKilled) {
  run(1);
  assign(2, false);
  static_cast<void>(machine_.tick(now_ + kGrace));
  const auto effects = machine_.tick(now_ + kGrace + kGone);
  ASSERT_NE(only<End>(effects), nullptr);
  EXPECT_EQ(only<End>(effects)->exit_code, kExitRetry);
}

TEST_F(MachineTest, TellsHowTheCommandEndedAndStartsItAgain) {
  run(1);
  EXPECT_TRUE(machine_.ended(137, "out of memory", now_).empty());
  EXPECT_EQ(machine_.told().phase, Phase::kWaiting);
  EXPECT_EQ(machine_.told().end, (CommandEnd{.membership = 1, .exit_code = 137, .words = "out of memory"}));
  EXPECT_TRUE(assign(1, true).empty()) << "not in the same membership";
  EXPECT_TRUE(assign(2, false).empty());
  EXPECT_TRUE(machine_.told().end) << "it is told until the next runs";
  ASSERT_NE(only<Start>(assign(2, true)), nullptr);
  EXPECT_FALSE(machine_.told().end);
}

TEST_F(MachineTest, EndsWithTheCommandThatSucceeds) {
  run(1);
  const auto effects = machine_.ended(0, "", now_);
  ASSERT_NE(only<End>(effects), nullptr);
  EXPECT_EQ(only<End>(effects)->exit_code, 0);
}

TEST_F(MachineTest, PassesSigtermOnAndEndsWithTheCommandsCode) {
  run(1);
  ASSERT_NE(only<Pass>(machine_.signalled(SIGTERM, now_)), nullptr);
  EXPECT_FALSE(machine_.assign(orders(2, false), now_)) << "the pod is leaving";
  EXPECT_FALSE(machine_.next_deadline()) << "how long it takes is the kubelet's to say";
  const auto effects = machine_.ended(7, "", now_);
  ASSERT_NE(only<End>(effects), nullptr);
  EXPECT_EQ(only<End>(effects)->exit_code, 7);
}

TEST_F(MachineTest, EndsAtOnceWhereNothingRuns) {
  const auto effects = machine_.signalled(SIGTERM, now_);
  ASSERT_NE(only<End>(effects), nullptr);
  EXPECT_EQ(only<End>(effects)->exit_code, kExitStopped);
  EXPECT_TRUE(machine_.signalled(SIGHUP, now_).empty());
}

TEST_F(MachineTest, PassesOtherSignalsOn) {
  run(1);
  for (const int number : {SIGHUP, SIGUSR1, SIGWINCH}) {
    const auto effects = machine_.signalled(number, now_);
    ASSERT_NE(only<Pass>(effects), nullptr);
    EXPECT_EQ(only<Pass>(effects)->number, number);
  }
  EXPECT_EQ(machine_.told().phase, Phase::kRunning);
}

TEST_F(MachineTest, WaitsForAssignmentsSoLongAndNoLonger) {
  const auto never = machine_.tick(now_ + kPatience);
  ASSERT_NE(only<End>(never), nullptr);
  EXPECT_EQ(only<End>(never)->exit_code, kExitRetry);
  EXPECT_THAT(only<End>(never)->words, HasSubstr("is muster-operator running"));
  Machine broken("u-1", "p-1", now_);
  for (const bool start : {false, true}) ASSERT_TRUE(broken.assign(orders(1, start), now_));
  static_cast<void>(broken.ended(3, "", now_));
  const auto effects = broken.tick(now_ + kPatience);
  ASSERT_NE(only<End>(effects), nullptr);
  EXPECT_EQ(only<End>(effects)->exit_code, 3) << "then the pod tells what its command did";
}

TEST_F(MachineTest, WaitsAsLongAsTheOperatorFollows) {
  run(1);
  static_cast<void>(machine_.ended(3, "", now_));  // broken, until a lost pod has a node
  machine_.heard(now_ + kPatience - 1s);
  EXPECT_TRUE(machine_.tick(now_ + kPatience).empty());
  assign(2, false);  // ready
  machine_.heard(now_ + 2 * kPatience);
  EXPECT_TRUE(machine_.tick(now_ + 3 * kPatience - 1s).empty());
  EXPECT_NE(only<End>(machine_.tick(now_ + 3 * kPatience)), nullptr) << "nobody follows any more";
}

TEST_F(MachineTest, HasNoMoreTimeToEndForThatTheOperatorFollows) {
  run(1);
  machine_.heard(now_);
  EXPECT_FALSE(machine_.next_deadline()) << "a command that runs has none";
  assign(2, false);
  machine_.heard(now_ + 1s);
  EXPECT_EQ(machine_.next_deadline(), now_ + kGrace);
}

TEST_F(MachineTest, ACommandThatCannotBeStartedHasFailed) {
  assign(1, false);
  assign(1, true);
  EXPECT_TRUE(machine_.not_started(127, "cannot execute train: No such file", now_).empty());
  ASSERT_TRUE(machine_.told().end);
  EXPECT_EQ(machine_.told().end->exit_code, 127);
  EXPECT_THAT(machine_.told().end->words, HasSubstr("cannot execute train"));
}

TEST_F(MachineTest, RefusesWhatIsNotForItOrNotForNow) {
  run(2);
  const auto refused = [&](Assignment what) {
    const auto effects = machine_.assign(what, now_);
    EXPECT_FALSE(effects);
    return effects ? Error{} : effects.error();
  };
  EXPECT_EQ(refused(orders(1, true)).code, Code::kFailedPrecondition);
  Assignment other = orders(3, false);
  other.uid = "u-2";
  EXPECT_EQ(refused(other).code, Code::kPermissionDenied);
  other = orders(3, false);
  other.pod_uid = "p-2";
  EXPECT_EQ(refused(other).code, Code::kPermissionDenied);
  other = orders(3, false);
  other.for_exec = false;
  EXPECT_EQ(refused(other).code, Code::kInvalidArgument);
  EXPECT_EQ(refused(orders(0, false)).code, Code::kInvalidArgument);
  EXPECT_THAT(refused(orders(2, true, {{"RANK", "1"}})).message, HasSubstr("other variables"));
  EXPECT_EQ(machine_.told().membership, 2) << "nothing has changed";
  EXPECT_EQ(machine_.told().phase, Phase::kRunning);
}

TEST_F(MachineTest, RefusesFollowersOfAnotherPodOrOfThePast) {
  run(2);
  EXPECT_TRUE(machine_.check({.pod_uid = "", .membership = 0}));
  EXPECT_TRUE(machine_.check({.pod_uid = "p-1", .membership = 2}));
  EXPECT_EQ(machine_.check({.pod_uid = "p-2", .membership = 2}).error().code, Code::kPermissionDenied);
  EXPECT_EQ(machine_.check({.pod_uid = "p-1", .membership = 1}).error().code, Code::kFailedPrecondition);
}

TEST_F(MachineTest, TakesANewerMembershipWhileTheCommandStillEnds) {
  run(1);
  assign(2, false);
  EXPECT_TRUE(assign(3, false).empty());
  EXPECT_EQ(machine_.told().membership, 3);
  EXPECT_EQ(machine_.next_deadline(), now_ + kGrace) << "it has no longer for it";
  EXPECT_TRUE(machine_.ended(143, "", now_).empty());
  EXPECT_TRUE(machine_.told().ready);
  ASSERT_NE(only<Start>(assign(3, true)), nullptr);
}

}  // namespace
}  // namespace muster::exec
