// tests/operator/core/worker_failures_test.cc: what the ends of workers mean for their job: counted,
// uncounted, or the end
#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

class UsersExitCode : public ::testing::TestWithParam<int> {};

TEST_P(UsersExitCode, IsAFailureLikeAnyOther) {
  ClusterModel cluster(job().plain().json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", GetParam());
  cluster.pass();
  EXPECT_FALSE(cluster.is("Failed")) << "65, 74 and 75 mean something in Muster's own programs only";
  EXPECT_EQ(cluster.status().restarts, 1);
  EXPECT_EQ(cluster.status().incarnation, 2);
}
INSTANTIATE_TEST_SUITE_P(Codes, UsersExitCode, ::testing::Values(65, 74, 75));

TEST(WorkerFailures, AWorkerThatCannotBeScheduledCostsTheWaitingOnesNoRestart) {
  ClusterModel cluster(job().max_restarts(0).json());
  cluster.settle();
  cluster.start_pods();
  cluster.pods["digits-worker-3"]["status"] = {
      {"phase", "Pending"},
      {"conditions",
       Json::array({{{"type", "PodScheduled"}, {"status", "False"}, {"reason", "Unschedulable"}}})}};
  cluster.settle();
  for (const char* name : {"digits-worker-0", "digits-worker-1", "digits-worker-2"})
    cluster.end_pod(name, 75, "no assignment came within 600 s");
  cluster.pass();
  EXPECT_FALSE(cluster.is("Failed"));
  EXPECT_EQ(cluster.status().restarts, 0);
  EXPECT_EQ(cluster.status().disruptions, 1);
  EXPECT_THAT(cluster.condition("Restarting")->message,
              HasSubstr("digits-worker-3 has not started (Unschedulable)"));
}

class LostPeer : public ::testing::Test {
 protected:
  LostPeer() {
    cluster_.bring_up();
    for (const char* name : {"digits-worker-0", "digits-worker-1", "digits-worker-2"})
      cluster_.end_pod(name, 75, "rank 3 is gone");
    cluster_.settle();
  }
  ClusterModel cluster_{job().max_restarts(2).json()};
};

TEST_F(LostPeer, TheCauseIsWaitedFor) {
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_GT(cluster_.decide().requeue_after, 0s);
  EXPECT_LE(cluster_.decide().requeue_after, 15s);
}

TEST_F(LostPeer, AnExitCodeIsTheCauseAndCounts) {
  cluster_.end_pod("digits-worker-3", 139);
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_THAT(cluster_.condition("Restarting")->message, HasSubstr("exited with code 139"));
}

TEST_F(LostPeer, AnEvictionIsTheCauseAndDoesNotCount) {
  cluster_.evict("digits-worker-3");
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_EQ(cluster_.status().disruptions, 1);
}

TEST_F(LostPeer, WhenNobodyTellsItsNodeIsLostWhichDoesNotCount) {
  cluster_.now += cluster_.decide().requeue_after;
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_EQ(cluster_.status().incarnation, 2);
  EXPECT_THAT(cluster_.condition("Restarting")->message, HasSubstr("its node is out of reach"));
}

TEST_F(LostPeer, WhenAllHaveLostOneAnotherItCounts) {
  cluster_.end_pod("digits-worker-3", 75, "rank 0 is gone");
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 1);
}

TEST(WorkerFailures, AWorkerThatIsDoneStaysDoneWithoutItsPod) {
  ClusterModel cluster(job().workers(3).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", 0);
  cluster.settle();
  EXPECT_EQ(cluster.status().succeeded_ranks, std::vector<std::int64_t>{1});
  cluster.pods.erase("digits-worker-1");  // by hand, or by the pod garbage collector
  cluster.settle();
  EXPECT_EQ(cluster.status().incarnation, 1) << "the others work on";
  EXPECT_EQ(cluster.pods.size(), 2U) << "and it is not started again";
  EXPECT_TRUE(cluster.is("PodsReady"));
  cluster.end_pod("digits-worker-0", 0);
  cluster.end_pod("digits-worker-2", 0);
  cluster.settle();
  EXPECT_TRUE(cluster.is("Succeeded"));
  EXPECT_EQ(cluster.condition("Succeeded")->message, "all 3 workers succeeded");
}

TEST(WorkerFailures, ANewMembershipBeginsWithNobodyDone) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", 0);
  cluster.settle();
  cluster.end_pod("digits-worker-0", 1);
  cluster.settle();
  EXPECT_TRUE(cluster.status().succeeded_ranks.empty());
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_EQ(cluster.pods.size(), 2U);
}

}  // namespace
}  // namespace muster::op::testing
