// tests/kube/leader_election_test.cc: one replica's part in an election, request by request
#include "kube/leader_election.h"

#include <gtest/gtest.h>

#include "common/base/rfc3339.h"
#include "common/json/access.h"

namespace muster::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Standing = LeaderElection::Standing;
using Verb = LeaderElection::Request::Verb;

const Instant kStart = Instant(std::chrono::hours(5));

class LeaderElectionTest : public ::testing::Test {
 protected:
  static LeaderElection make(const std::string& identity) {
    return LeaderElection({.ns = "muster-system", .name = "lease", .identity = identity});
  }
  static Json lease(const std::string& holder, int renewal, int duration = 15) {
    return {{"metadata", {{"name", "lease"}, {"resourceVersion", std::to_string(renewal)}}},
            {"spec",
             {{"holderIdentity", holder},
              {"leaseDurationSeconds", duration},
              {"acquireTime", "2020-01-01T00:00:00.000000Z"},
              {"renewTime", "2020-01-01T00:00:" + std::to_string(10 + renewal) + ".000000Z"},
              {"leaseTransitions", 3}}}};
  }
  // The request that is due at `now`.
  LeaderElection::Request ask(Verb verb) {
    auto request = me_.next(now_, wall_);
    EXPECT_TRUE(request) << "nothing is asked for";
    if (!request) return {};
    EXPECT_EQ(request->verb, verb);
    return *std::move(request);
  }
  void wait_for_wake() {
    ASSERT_LT(me_.wake(), now_ + seconds(60));
    now_ = std::max(now_, me_.wake());
  }
  // Leads by a Lease that it has created.
  void lead() {
    ask(Verb::kGet);
    me_.answered(not_found("no Lease"), now_);
    written_ = ask(Verb::kCreate).lease;
    written_["metadata"]["resourceVersion"] = "1";
    me_.answered(written_, now_);
    ASSERT_EQ(me_.standing(), Standing::kLeading);
  }
  void see(const Json& lease) {
    wait_for_wake();
    ask(Verb::kGet);
    me_.answered(lease, now_);
  }

  LeaderElection me_ = make("me");
  Instant now_ = kStart;
  WallTime wall_ = *parse_rfc3339("2026-01-02T03:04:05.000006Z");
  Json written_;
};

TEST_F(LeaderElectionTest, CreatesTheLeaseAsClientGoDoes) {
  lead();
  const Json expected{{"holderIdentity", "me"},
                      {"leaseDurationSeconds", 15},
                      {"acquireTime", "2026-01-02T03:04:05.000006Z"},
                      {"renewTime", "2026-01-02T03:04:05.000006Z"},
                      {"leaseTransitions", 0}};
  EXPECT_EQ(written_["spec"], expected);
  EXPECT_EQ(written_["metadata"]["namespace"], "muster-system");
  EXPECT_TRUE(me_.seen());
}

TEST_F(LeaderElectionTest, WhatTheHolderSaysOfItselfIsInTheLeaseAndTheNextOneReplacesIt) {
  me_ = LeaderElection(
      {.ns = "muster-system", .name = "lease", .identity = "me", .annotations = {{"at", "10.0.0.1:1"}}});
  EXPECT_EQ(me_.told_by_holder("at"), "");
  Json others = lease("", 1);
  others["metadata"]["annotations"] = {{"at", "10.0.0.2:1"}, {"theirs", "x"}};
  ask(Verb::kGet);
  me_.answered(others, now_);
  EXPECT_EQ(me_.told_by_holder("at"), "") << "it was given back";
  const Json taken = ask(Verb::kUpdate).lease;
  EXPECT_EQ(taken["metadata"]["annotations"], (Json{{"at", "10.0.0.1:1"}, {"theirs", "x"}}));
  me_.answered(taken, now_);
  EXPECT_EQ(me_.told_by_holder("at"), "10.0.0.1:1");
}

TEST_F(LeaderElectionTest, RenewsEveryTwoSecondsUponTheVersionItKnows) {
  lead();
  EXPECT_EQ(me_.wake(), now_ + seconds(2));
  EXPECT_FALSE(me_.next(now_ + milliseconds(1999), wall_));
  now_ += seconds(2);
  wall_ += seconds(2);
  const Json lease = ask(Verb::kUpdate).lease;
  EXPECT_EQ(lease["metadata"]["resourceVersion"], "1");
  EXPECT_EQ(lease["spec"]["renewTime"], "2026-01-02T03:04:07.000006Z");
  EXPECT_EQ(lease["spec"]["acquireTime"], "2026-01-02T03:04:05.000006Z");
  EXPECT_EQ(lease["spec"]["leaseTransitions"], 0);
}

TEST_F(LeaderElectionTest, TheFenceCountsFromWhenTheRenewalWasSent) {
  lead();
  EXPECT_EQ(me_.fence(), kStart + seconds(10));
  now_ += seconds(2);
  const Json lease = ask(Verb::kUpdate).lease;
  me_.answered(lease, now_ + seconds(3));
  EXPECT_EQ(me_.fence(), kStart + seconds(12));
}

TEST_F(LeaderElectionTest, ARenewalIsNeverTheSameTextAgainOrNobodyWouldSeeIt) {
  lead();
  now_ += seconds(2);  // and the wall clock stands still
  EXPECT_NE(ask(Verb::kUpdate).lease["spec"]["renewTime"], written_["spec"]["renewTime"]);
}

TEST_F(LeaderElectionTest, IsDeposedAtItsFenceAndAsksForNothingUntilItRejoins) {
  lead();
  now_ += seconds(2);
  ask(Verb::kUpdate);
  me_.answered(unavailable("away"), now_);
  now_ = kStart + seconds(10);
  EXPECT_FALSE(me_.next(now_, wall_));
  EXPECT_EQ(me_.standing(), Standing::kDeposed);
  EXPECT_EQ(me_.wake(), Instant::max());
  me_.rejoin(now_);
  EXPECT_EQ(me_.standing(), Standing::kStandby);
  see(written_);
  EXPECT_EQ(ask(Verb::kUpdate).lease["spec"]["leaseTransitions"], 0) << "it was its own all the time";
}

TEST_F(LeaderElectionTest, AFailedRenewalLooksAgainBeforeItWrites) {
  lead();
  now_ += seconds(2);
  ask(Verb::kUpdate);
  me_.answered(deadline_exceeded("no answer"), now_ + seconds(4));  // it may have been carried out
  now_ += seconds(4);
  ask(Verb::kGet);
  me_.answered(lease("me", 7), now_);
  EXPECT_EQ(ask(Verb::kUpdate).lease["metadata"]["resourceVersion"], "7");
}

TEST_F(LeaderElectionTest, ALeaderThatFindsAnotherHolderStopsAtOnce) {
  lead();
  now_ += seconds(2);
  ask(Verb::kUpdate);
  me_.answered(aborted("conflict"), now_);
  EXPECT_LE(me_.wake(), now_ + milliseconds(200));
  see(lease("other", 2));
  EXPECT_EQ(me_.standing(), Standing::kDeposed);
  EXPECT_LT(me_.fence(), now_);
}

TEST_F(LeaderElectionTest, WaitsFromWhenItSawTheLastChangeWhateverTheTimesSay) {
  see(lease("other", 1));
  const Instant seen = now_;
  while (now_ < seen + seconds(14)) {
    wait_for_wake();
    if (now_ >= seen + seconds(15)) break;
    see(lease("other", 1));
    EXPECT_FALSE(me_.next(now_, wall_));
  }
  wait_for_wake();
  EXPECT_EQ(now_, seen + seconds(15)) << "the look at its end is in time";
  see(lease("other", 1));
  const Json taken = ask(Verb::kUpdate).lease;
  EXPECT_EQ(taken["spec"]["leaseTransitions"], 4);
  EXPECT_EQ(taken["metadata"]["resourceVersion"], "1");
}

TEST_F(LeaderElectionTest, AChangeStartsTheWaitAnew) {
  see(lease("other", 1));
  now_ += seconds(14);
  see(lease("other", 2));
  const Instant seen = now_;
  now_ += seconds(14);
  see(lease("other", 2));
  EXPECT_FALSE(me_.next(now_, wall_));
  now_ = seen + seconds(15);
  see(lease("other", 2));
  ask(Verb::kUpdate);
}

TEST_F(LeaderElectionTest, TheDurationIsThatOfTheHolder) {
  see(lease("other", 1, 40));
  now_ += seconds(39);
  see(lease("other", 1, 40));
  EXPECT_FALSE(me_.next(now_, wall_));
  now_ += seconds(1);
  see(lease("other", 1, 40));
  ask(Verb::kUpdate);
}

TEST_F(LeaderElectionTest, AReleasedLeaseIsTakenAtTheNextLookWithinTwoSeconds) {
  see(lease("other", 1));
  const Instant before = now_;
  see(lease("", 2, 1));
  EXPECT_LE(now_, before + seconds(2));
  ask(Verb::kUpdate);
}

TEST_F(LeaderElectionTest, ADeletedLeaseIsNotFreeBeforeALeaderByItWouldKnow) {
  see(lease("other", 1));
  now_ += seconds(20);  // perhaps of another holder by now, whom we have not seen
  wait_for_wake();
  ask(Verb::kGet);
  const Instant seen = now_;
  me_.answered(not_found("deleted"), now_);
  EXPECT_FALSE(me_.next(now_, wall_));
  now_ = seen + seconds(14);
  ask(Verb::kGet);
  me_.answered(not_found("deleted"), now_);
  EXPECT_EQ(me_.wake(), seen + seconds(15));
  now_ = seen + seconds(15);
  ask(Verb::kGet);
  me_.answered(not_found("deleted"), now_);
  ask(Verb::kCreate);
}

TEST_F(LeaderElectionTest, ALeaderMakesItsDeletedLeaseAnew) {
  lead();
  now_ += seconds(2);
  ask(Verb::kUpdate);
  me_.answered(not_found("deleted"), now_);
  wait_for_wake();
  ask(Verb::kGet);
  me_.answered(not_found("deleted"), now_);
  ask(Verb::kCreate);
}

TEST_F(LeaderElectionTest, OfTwoThatTakeItOneStandsBy) {
  see(lease("", 1, 1));
  ask(Verb::kUpdate);
  me_.answered(aborted("conflict"), now_);
  EXPECT_EQ(me_.standing(), Standing::kStandby);
  EXPECT_GE(me_.wake(), now_ + seconds(1));
}

TEST_F(LeaderElectionTest, AnAnswerThatComesAfterItsOwnFenceMakesNoLeader) {
  see(lease("", 1, 1));
  const Json taken = ask(Verb::kUpdate).lease;
  now_ += seconds(10);
  me_.answered(taken, now_);
  EXPECT_EQ(me_.standing(), Standing::kStandby);
  EXPECT_LT(me_.fence(), now_);
}

TEST_F(LeaderElectionTest, ResigningGivesTheLeaseBackAndEndsTheTokenFirst) {
  lead();
  now_ += seconds(1);
  const auto release = me_.resign(now_, wall_);
  ASSERT_TRUE(release);
  EXPECT_LT(me_.fence(), now_);
  EXPECT_EQ(release->lease["spec"]["holderIdentity"], "");
  EXPECT_EQ(release->lease["spec"]["leaseDurationSeconds"], 1);
  EXPECT_EQ(release->lease["spec"]["leaseTransitions"], 0);
  EXPECT_EQ(release->lease["metadata"]["resourceVersion"], "1");
  EXPECT_FALSE(me_.next(now_ + seconds(60), wall_));
}

TEST_F(LeaderElectionTest, WhoDoesNotLeadHasNothingToGiveBack) {
  see(lease("other", 1));
  EXPECT_FALSE(me_.resign(now_, wall_));
  EXPECT_EQ(me_.standing(), Standing::kResigned);
}

TEST_F(LeaderElectionTest, FieldsOfOthersInTheLeaseAreKept) {
  Json theirs = lease("", 1, 1);
  theirs["metadata"]["labels"] = {{"team", "a"}};
  theirs["spec"]["strategy"] = "OldestEmulationVersion";
  see(theirs);
  const Json taken = ask(Verb::kUpdate).lease;
  EXPECT_EQ(taken["metadata"]["labels"]["team"], "a");
  EXPECT_EQ(taken["spec"]["strategy"], "OldestEmulationVersion");
}

}  // namespace
}  // namespace muster::kube
