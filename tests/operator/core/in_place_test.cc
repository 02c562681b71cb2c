// tests/operator/core/in_place_test.cc: the operator's decisions and muster-exec's, held against each other
#include "operator/core/in_place.h"

#include <gmock/gmock.h>

#include "in_place_fixture.h"
#include "operator/core/incarnation.h"
#include "pod/pod_contract.h"

namespace muster::op::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class InPlaceStandstill : public InPlace {
 protected:
  InPlaceStandstill()
      : InPlace(in_place().workers(3).set("/spec/runPolicy/progressDeadlineSeconds", 600).json()) {}
};

TEST_F(InPlace, AllCommandsStartOnceAllPodsAnswer) {
  EXPECT_THAT(runs(), ElementsAre(1, 1, 1));
  EXPECT_EQ(cluster_.status().phase, "Running");
  EXPECT_EQ(env(2, "RANK"), "2");
  EXPECT_EQ(env(2, "WORLD_SIZE"), "3");
  EXPECT_EQ(env(2, "MASTER_ADDR"), "digits-worker-0.digits");
  EXPECT_EQ(env(2, "MUSTER_MEMBERSHIP"), "1");
  EXPECT_FALSE(cluster_.secrets.empty());
}

TEST_F(InPlace, ThePodStartsTheCommandByMusterExec) {
  const Json& spec = cluster_.pods.at(name_of(1))["spec"];
  EXPECT_EQ(spec["initContainers"][0]["args"], Json::array({"install", kExecFolder}));
  EXPECT_EQ(spec["initContainers"][0]["image"], "muster-exec:" MUSTER_VERSION);
  EXPECT_EQ(spec["containers"][0]["command"],
            Json::array({"/var/run/muster.dev/exec/muster-exec", "--keys", kExecKeysFolder, "--", "train"}));
  const Json& metadata = cluster_.pods.at(name_of(1))["metadata"];
  EXPECT_EQ(metadata["annotations"]["muster.dev/exec-ca"], cluster_.ca);
  EXPECT_FALSE(metadata["labels"].contains("muster.dev/ca")) << "its ports are the user's own";
}

TEST_F(InPlace, ACommandThatFailsStartsAllAgainInTheSamePods) {
  fail_command(1, 137, "out of memory");
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.status().membership, 2);
  EXPECT_EQ(cluster_.status().phase, "Restarting");
  EXPECT_THAT(runs(), ElementsAre(1, 1)) << "the status comes first";
  settle();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_EQ(cluster_.status().phase, "Running");
  EXPECT_EQ(cluster_.status().restarts, 1);
  for (const int index : {0, 1, 2}) EXPECT_TRUE(kept(index));
  EXPECT_THAT(event("RestartingInPlace"),
              HasSubstr("worker 1 (digits-worker-1) exited with code 137 (SIGKILL)"));
  EXPECT_THAT(event("RestartingInPlace"), HasSubstr("restart 1 of 2"));
  EXPECT_THAT(event("RestartingInPlace"), HasSubstr("out of memory"));
}

TEST_F(InPlace, NoneStartsBeforeAllHaveEnded) {
  stubborn_.insert(cluster_.uid_of(name_of(0)));
  fail_command(1, 1);
  settle();
  EXPECT_THAT(runs(), ElementsAre(1)) << "the one that heeds no SIGTERM";
  end(cluster_.uid_of(name_of(0)), 137);
  settle();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_EQ(cluster_.status().restarts, 1) << "it was asked to end";
}

// What keeps the keys of a pod may tell what it likes in the name of muster-exec.
TEST_F(InPlace, NothingHasEndedOfAMembershipThatIsNotDecided) {
  auto& end = *cluster_.agents.at(cluster_.uid_of(name_of(1))).mutable_exec()->mutable_end();
  end.set_membership(std::int64_t{1} << 50);
  end.set_exit_code(1);
  EXPECT_EQ(cluster_.pass(), 0U);
  EXPECT_EQ(cluster_.status().membership, 1);
}

TEST_F(InPlace, FailuresOfOneMembershipCountOnce) {
  for (const int index : {0, 1, 2}) fail_command(index, 1);
  settle();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
}

TEST_F(InPlace, TheJobFailsOnceTheRestartsAreUsedUp) {
  for (int i = 0; i < 3; ++i) {
    fail_command(0, 1);
    cluster_.advance(std::chrono::seconds(60));
    settle();
  }
  EXPECT_TRUE(cluster_.is("Failed"));
  EXPECT_EQ(cluster_.condition("Failed")->reason, "MaxRestartsExceeded");
  EXPECT_EQ(cluster_.status().restarts, 2);
}

TEST_F(InPlace, APodThatIsLostIsMadeAnewAndTheOthersStay) {
  cluster_.evict(name_of(1));
  inside_.erase(cluster_.uid_of(name_of(1)));
  cluster_.agents.erase(cluster_.uid_of(name_of(1)));
  settle();
  EXPECT_THAT(runs(), IsEmpty()) << "the others have ended what ran, and wait";
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_EQ(cluster_.status().restarts, 0);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_TRUE(kept(0) && kept(2));
  EXPECT_FALSE(kept(1));
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.status().disruptions, 1) << "once";
}

TEST_F(InPlace, APodThatFailsCountsAndIsMadeAnew) {
  end_pod(2, 137);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_FALSE(kept(2));
}

TEST_F(InPlace, APodThatIsGoneWithoutAWordIsMissed) {
  cluster_.agents.erase(cluster_.uid_of(name_of(1)));
  cluster_.pods.erase(name_of(1));
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_TRUE(kept(0) && kept(2));
}

TEST_F(InPlace, AChangeOfReplicasKeepsThePodsThatStay) {
  edit("/spec/workers/replicas", 4);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2, 2));
  EXPECT_EQ(env(0, "WORLD_SIZE"), "4");
  for (const int index : {0, 1, 2}) EXPECT_TRUE(kept(index));
  edit("/spec/workers/replicas", 2);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(3, 3));
  EXPECT_EQ(env(1, "WORLD_SIZE"), "2");
  EXPECT_EQ(cluster_.pods.size(), 2U);
  EXPECT_EQ(cluster_.status().restarts + cluster_.status().disruptions, 0);
}

TEST_F(InPlace, NoneStartsBesideAReplacedPodThatNobodyWantsAnyMore) {
  stubborn_.insert(cluster_.uid_of(name_of(2)));
  cluster_.evict(name_of(2));
  settle();  // its replacement waits for it, and what runs in it has time
  edit("/spec/workers/replicas", 2);
  settle();
  EXPECT_THAT(runs(), ElementsAre(1)) << "the one that leaves";
  end(cluster_.uid_of(name_of(2)), 137);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2));
}

TEST_F(InPlace, OneThatIsDoneRunsAgainWhenAnotherFails) {
  end_pod(0, 0);
  settle();
  EXPECT_THAT(runs(), ElementsAre(1, 1)) << "the others go on";
  fail_command(1, 1);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_FALSE(kept(0));
  for (const int index : {0, 1, 2}) end_pod(index, 0);
  settle();
  EXPECT_TRUE(cluster_.is("Succeeded"));
}

// A kubelet tells the end of a pod a second or two late: by then another membership may be decided.
TEST_F(InPlace, AnEndWithZeroThatIsToldLateIsOfThePast) {
  fail_command(1, 1);
  cluster_.pass();
  ASSERT_EQ(cluster_.status().membership, 2);
  end_pod(0, 0);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_FALSE(kept(0));
  EXPECT_TRUE(kept(1) && kept(2));
  EXPECT_THAT(cluster_.status().succeeded_ranks, IsEmpty());
}

TEST_F(InPlace, AnEndWithZeroThatIsToldLateKeepsNobodyWaitingForALostPod) {
  cluster_.evict(name_of(2));
  cluster_.pass();
  ASSERT_EQ(cluster_.status().membership, 2);
  end_pod(0, 0);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_FALSE(kept(0));
  EXPECT_TRUE(kept(1));
}

TEST_F(InPlaceStandstill, OneThatIsDoneRunsAgainWhenTheOthersStandStill) {
  cluster_.object["status"]["progress"] = {{"percent", 10}};
  end_pod(0, 0);
  settle();
  EXPECT_THAT(runs(), ElementsAre(1, 1));
  cluster_.advance(std::chrono::seconds(700));
  come_back();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
}

TEST_F(InPlace, ANewOperatorChangesNothing) {
  for (auto& [uid, agent] : cluster_.agents) agent = {};
  cluster_.agents.clear();
  const int writes = cluster_.status_writes;
  EXPECT_EQ(cluster_.pass(), 0U);
  EXPECT_EQ(cluster_.status_writes, writes);
  EXPECT_EQ(cluster_.status().phase, "Running");
}

class InPlaceRules : public InPlace {
 protected:
  static Json with_rules() {
    const auto rule = [](const char* action, int code) {
      return Json{{"action", action}, {"onExitCodes", {{"operator", "In"}, {"values", Json::array({code})}}}};
    };
    return in_place()
        .workers(3)
        .set("/spec/runPolicy/failurePolicy/rules", Json::array({rule("FailJob", 42), rule("RestartJob", 43),
                                                                 rule("RestartPod", 44), rule("Ignore", 45)}))
        .json();
  }
  InPlaceRules() : InPlace(with_rules()) {}
};

TEST_F(InPlaceRules, FailTheJobAlsoByACommandThatFailedSecond) {
  fail_command(1, 1);
  cluster_.pass();
  ASSERT_EQ(cluster_.status().membership, 2);
  EXPECT_FALSE(cluster_.is("Failed"));
  fail_command(0, 42);  // what has ended the other, told a moment later
  cluster_.pass();
  EXPECT_TRUE(cluster_.is("Failed"));
  EXPECT_EQ(cluster_.condition("Failed")->reason, "FailurePolicy");
}

TEST_F(InPlaceRules, CountAFailureOnceThatIsToldInTwo) {
  fail_command(1, 1);
  cluster_.pass();
  ASSERT_EQ(cluster_.status().membership, 2);
  fail_command(0, 43);
  come_back();
  EXPECT_EQ(cluster_.status().incarnation, 2) << "all pods are made anew";
  EXPECT_EQ(cluster_.status().restarts, 1);
}

TEST_F(InPlaceRules, MakeAllPodsAnew) {
  fail_command(1, 43);
  come_back();
  EXPECT_EQ(cluster_.status().incarnation, 2);
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  for (const int index : {0, 1, 2}) EXPECT_FALSE(kept(index));
}

TEST_F(InPlaceRules, MakeThePodAnew) {
  fail_command(1, 44);
  come_back();
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_TRUE(kept(0) && kept(2));
  EXPECT_FALSE(kept(1));
}

TEST_F(InPlaceRules, DoNotCount) {
  fail_command(1, 45);
  settle();
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_TRUE(kept(1));
}

}  // namespace
}  // namespace muster::op::testing
