// tests/operator/core/reconcile_distributed_job_test.cc: the life of a DistributedJob, judged by the state
// reached
#include "operator/core/reconcile_distributed_job.h"

#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

TEST(DistributedJob, CreatesAPodARank) {
  ClusterModel cluster(job().workers(4).json());
  cluster.pass();
  ASSERT_EQ(cluster.pods.size(), 4U);
  EXPECT_TRUE(cluster.pods.contains("digits-worker-0"));
  EXPECT_TRUE(cluster.pods.contains("digits-worker-3"));
  EXPECT_EQ(cluster.status().phase, "Pending");
  EXPECT_EQ(cluster.status().incarnation, 1);
  EXPECT_TRUE(cluster.is("Initialized"));
  ASSERT_EQ(cluster.count_events("PodsCreated"), 1);
  EXPECT_THAT(cluster.events[0].message, HasSubstr("created 4 pods"));
}

TEST(DistributedJob, SecondPassOverTheLandedResultDoesNothing) {
  ClusterModel cluster(job().json());
  cluster.settle();
  EXPECT_EQ(cluster.pass(), 0U);
  cluster.start_pods();
  cluster.settle();
  EXPECT_EQ(cluster.pass(), 0U);
  for (const char* name : {"digits-worker-0", "digits-worker-1", "digits-worker-2", "digits-worker-3"})
    cluster.end_pod(name, 0);
  cluster.settle();
  EXPECT_EQ(cluster.pass(), 0U);
}

TEST(DistributedJob, NeedsAtMostFiveStatusWritesToSucceed) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 0);
  cluster.end_pod("digits-worker-1", 0);
  cluster.settle();
  EXPECT_TRUE(cluster.is("Succeeded"));
  EXPECT_EQ(cluster.status().ready, "0/2");
  EXPECT_EQ(cluster.status().ready_replicas + cluster.status().replicas, 0);
  EXPECT_LE(cluster.status_writes, 5);
}

TEST(DistributedJob, ConfiguresNobodyBeforeEveryMemberAnswers) {
  ClusterModel cluster(job().workers(2).json());
  cluster.settle();
  cluster.start_pods();
  cluster.agents.erase(cluster.uid_of("digits-worker-1"));
  cluster.settle();
  EXPECT_TRUE(cluster.assignments.empty());
  EXPECT_EQ(cluster.decide().agents.size(), 2U);
}

TEST(DistributedJob, ToldRanksAndPeersAgree) {
  ClusterModel cluster(job().workers(3).json());
  cluster.bring_up();
  ASSERT_EQ(cluster.assignments.size(), 3U);
  for (int rank = 0; rank < 3; ++rank) {
    const std::string pod = "digits-worker-" + std::to_string(rank);
    const control::v1::Assignment& told = cluster.assignments.at(cluster.uid_of(pod));
    const control::v1::WorkerAssignment& worker = told.worker();
    EXPECT_EQ(worker.rank(), rank);
    EXPECT_EQ(told.membership(), 1);
    EXPECT_EQ(told.uid(), "job-uid");
    ASSERT_EQ(worker.roster_size(), 3);
    EXPECT_EQ(worker.roster(rank).address(),
              cluster.pods.at(pod)["status"]["podIP"].get<std::string>() + ":8471");
    EXPECT_EQ(told.spec(),
              R"({"training":{"dataset":{"name":"fashion-mnist","path":"/data"},"model":{"name":"cnn"}}})");
  }
}

TEST(DistributedJob, RunsWhenAllPodsRun) {
  ClusterModel cluster(job().json());
  cluster.bring_up();
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_EQ(cluster.status().ready, "4/4");
  EXPECT_TRUE(cluster.is("Running"));
  EXPECT_TRUE(cluster.is("PodsReady"));
  EXPECT_EQ(cluster.condition("Running")->observed_generation, 1);
}

TEST(DistributedJob, SaysWhyAPodIsPending) {
  ClusterModel cluster(job().json());
  cluster.settle();
  cluster.pods["digits-worker-2"]["status"]["conditions"] =
      Json::array({{{"type", "PodScheduled"},
                    {"status", "False"},
                    {"reason", "Unschedulable"},
                    {"message", "0/3 nodes are available"}}});
  cluster.settle();
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "Unschedulable");
  EXPECT_THAT(cluster.condition("PodsReady")->message, HasSubstr("digits-worker-2: 0/3 nodes are available"));
}

TEST(DistributedJob, RestartsAllRanksOfAProgramWhenOneFails) {
  ClusterModel cluster(job().plain().json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-2", 137);
  cluster.pass();
  EXPECT_EQ(cluster.status().restarts, 1);
  EXPECT_EQ(cluster.status().incarnation, 2);
  EXPECT_EQ(cluster.status().phase, "Restarting");
  EXPECT_THAT(cluster.condition("Restarting")->message,
              HasSubstr("worker 2 (digits-worker-2) exited with code 137 (SIGKILL)"));
  cluster.settle();
  EXPECT_EQ(cluster.pods.size(), 4U) << "nothing new before the old pods are gone";
  for (const auto& [name, pod] : cluster.pods)
    EXPECT_TRUE(pod["metadata"].contains("deletionTimestamp")) << name;
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_FALSE(cluster.is("Restarting"));
  for (const auto& [name, pod] : cluster.pods)
    EXPECT_EQ(pod["metadata"]["labels"]["muster.dev/incarnation"], "2") << name;
  EXPECT_EQ(cluster.status().membership, 2);
  EXPECT_EQ(cluster.status().restarts, 1);
}

TEST(DistributedJob, BlamesTheCauseNotThePeersThatLostIt) {
  ClusterModel cluster(job().json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 75, "rank 3 is gone");
  cluster.end_pod("digits-worker-1", 75, "rank 3 is gone");
  cluster.end_pod("digits-worker-2", 75, "rank 3 is gone");
  cluster.end_pod("digits-worker-3", 139);
  cluster.pass();
  EXPECT_THAT(cluster.condition("Restarting")->message,
              HasSubstr("worker 3 (digits-worker-3) exited with code 139"));
}

TEST(DistributedJob, FailsPastMaxRestartsWithTheLastWords) {
  ClusterModel cluster(job().workers(1).max_restarts(1).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 1);
  cluster.settle();
  cluster.finish_deletions();
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 1, "the GPU is on fire");
  cluster.settle();
  EXPECT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->reason, "MaxRestartsExceeded");
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("the GPU is on fire"));
  EXPECT_EQ(cluster.status().restarts, 1);
}

class PermanentExit : public ::testing::TestWithParam<int> {};

TEST_P(PermanentExit, FailsTheJobAtOnce) {
  ClusterModel cluster(job().json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", GetParam(), "/data: no such file; mount the dataset");
  cluster.settle();
  EXPECT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->reason, "PodFailedPermanently");
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("no such file; mount the dataset"));
  EXPECT_EQ(cluster.status().restarts, 0);
}
INSTANTIATE_TEST_SUITE_P(Codes, PermanentExit, ::testing::Values(65, 74));

TEST(DistributedJob, EvictionRestartsWithoutCounting) {
  ClusterModel cluster(job().max_restarts(0).json());
  cluster.bring_up();
  cluster.evict("digits-worker-1");
  for (const char* name : {"digits-worker-0", "digits-worker-2", "digits-worker-3"})
    cluster.end_pod(name, 75, "rank 1 is gone");
  cluster.pass();
  EXPECT_EQ(cluster.status().restarts, 0);
  EXPECT_EQ(cluster.status().disruptions, 1);
  EXPECT_EQ(cluster.status().incarnation, 2);
  EXPECT_EQ(cluster.condition("Restarting")->reason, "PodDisrupted");
}

TEST(DistributedJob, APodOfAProgramDeletedByHandRestartsAllWithoutCounting) {
  ClusterModel cluster(job().plain().json());
  cluster.bring_up();
  cluster.pods.erase("digits-worker-3");
  cluster.pass();
  EXPECT_EQ(cluster.status().disruptions, 1);
  EXPECT_EQ(cluster.status().incarnation, 2);
  EXPECT_EQ(cluster.status().restarts, 0);
}

TEST(DistributedJob, ACrashBetweenCreatesOnlyCreatesTheRest) {
  ClusterModel cluster(job().json());
  const Decision decision = cluster.decide();
  for (std::size_t i = 0; i < 3; ++i) cluster.apply(decision.actions[i]);
  EXPECT_EQ(cluster.pods.size(), 2U);
  cluster.settle();
  EXPECT_EQ(cluster.pods.size(), 4U);
  EXPECT_EQ(cluster.status().incarnation, 1);
  EXPECT_EQ(cluster.status().disruptions, 0);
}

TEST(DistributedJob, ARestartedOperatorStartsNoSecondPod) {
  ClusterModel cluster(job().json());
  cluster.bring_up();
  cluster.agents.clear();
  cluster.last_status_write.reset();
  for (const Action& action : cluster.decide().actions)
    EXPECT_FALSE(std::holds_alternative<CreatePod>(action));
  EXPECT_EQ(cluster.decide().agents.size(), 4U);
}

TEST(DistributedJob, RestartsInARowSlowDown) {
  ClusterModel cluster(job().workers(1).max_restarts(9).json());
  cluster.bring_up();
  for (int i = 0; i < 4; ++i) {
    cluster.end_pod("digits-worker-0", 1);
    cluster.pass();
    cluster.pass();
    cluster.finish_deletions();
    if (i < 3) cluster.bring_up();
  }
  const Decision decision = cluster.decide();
  EXPECT_TRUE(decision.actions.empty() || !std::holds_alternative<CreatePod>(decision.actions[0]));
  EXPECT_GT(decision.requeue_after, 1s);
  EXPECT_LE(decision.requeue_after, 4s);
  cluster.advance(5s);
  cluster.pass();
  EXPECT_EQ(cluster.pods.size(), 1U);
}

TEST(DistributedJob, ScalingAProgramStartsAllAnewUncounted) {
  ClusterModel cluster(job().workers(2).plain().json());
  cluster.bring_up();
  cluster.object["spec"]["workers"]["replicas"] = 3;
  cluster.object["metadata"]["generation"] = 2;
  cluster.pass();
  EXPECT_EQ(cluster.condition("Restarting")->reason, "Scaled");
  cluster.settle();
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_EQ(cluster.pods.size(), 3U);
  EXPECT_EQ(cluster.status().ready, "3/3");
  EXPECT_EQ(cluster.status().restarts + cluster.status().disruptions, 0);
  EXPECT_EQ(cluster.status().observed_generation, 2);
}

TEST(DistributedJob, SuspendDeletesThePodsAndResumeStartsTheClockAnew) {
  ClusterModel cluster(job().active_deadline(100).json());
  cluster.bring_up();
  const WallTime first_start = *cluster.status().start_time;
  cluster.object["spec"]["suspend"] = true;
  cluster.settle();
  cluster.finish_deletions();
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty());
  EXPECT_EQ(cluster.status().phase, "Suspended");
  EXPECT_TRUE(cluster.is("Suspended"));
  EXPECT_FALSE(cluster.is("Running"));
  cluster.advance(1000s);
  cluster.settle();
  EXPECT_FALSE(cluster.is("Failed")) << "time does not count while suspended";
  cluster.object["spec"]["suspend"] = false;
  cluster.bring_up();
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_EQ(cluster.condition("Suspended")->reason, "Resumed");
  EXPECT_GT(*cluster.status().start_time, first_start + 1000s);
  EXPECT_EQ(cluster.status().restarts + cluster.status().disruptions, 0);
}

TEST(DistributedJob, EveryConditionIsOfThePresentGenerationAndASuspendedJobHasNoReadyPods) {
  ClusterModel cluster(job().json());
  cluster.bring_up();
  cluster.object["spec"]["suspend"] = true;
  for (int generation = 2; generation <= 3; ++generation) {  // suspended, then edited while it is
    cluster.object["metadata"]["generation"] = generation;
    cluster.object["spec"]["workers"]["replicas"] = generation + 2;
    cluster.settle();
    cluster.finish_deletions();
  }
  for (const api::Condition& condition : cluster.status().conditions)
    EXPECT_EQ(condition.observed_generation, 3) << condition.type;
  EXPECT_EQ(cluster.status().ready, "0/5");
  EXPECT_EQ(cluster.status().replicas, 0);
}

TEST(DistributedJob, CreatedSuspendedItHasNoPodsAndNoStartTime) {
  ClusterModel cluster(job().suspended().json());
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty());
  EXPECT_EQ(cluster.status().phase, "Suspended");
  EXPECT_FALSE(cluster.status().start_time);
  cluster.object["spec"]["suspend"] = false;
  cluster.bring_up();
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_EQ(cluster.status().incarnation, 1);
}

TEST(DistributedJob, TheActiveDeadlineHasATimer) {
  ClusterModel cluster(job().active_deadline(60).json());
  cluster.bring_up();
  const auto wait = cluster.decide().requeue_after;
  EXPECT_GT(wait, 0ms);
  EXPECT_LE(wait, 60s);
  cluster.now += wait;
  cluster.pass();
  EXPECT_EQ(cluster.condition("Failed")->reason, "DeadlineExceeded");
  EXPECT_FALSE(cluster.is("Running"));
}

struct Cleaning {
  const char* policy;
  std::size_t deleted;
};
class CleanPodPolicy : public ::testing::TestWithParam<Cleaning> {};

TEST_P(CleanPodPolicy, DeletesWhatItSays) {
  ClusterModel cluster(job().workers(3).clean(GetParam().policy).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 65);
  cluster.pass();
  ASSERT_TRUE(cluster.is("Failed")) << "the terminal condition comes before the cleaning";
  EXPECT_EQ(cluster.pods.size(), 3U);
  cluster.settle();
  cluster.advance(10s);  // for as long a failed pod's log can be read
  cluster.settle();
  cluster.finish_deletions();
  EXPECT_EQ(3U - cluster.pods.size(), GetParam().deleted);
  EXPECT_EQ(cluster.pass(), 0U);
}
INSTANTIATE_TEST_SUITE_P(Policies, CleanPodPolicy,
                         ::testing::Values(Cleaning{"None", 0}, Cleaning{"Running", 2}, Cleaning{"All", 3}));

TEST(DistributedJob, IsDeletedAfterItsTtl) {
  ClusterModel cluster(job().workers(1).ttl(30).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 0);
  cluster.pass();
  EXPECT_GT(cluster.decide().requeue_after, 20s);
  cluster.settle();
  EXPECT_FALSE(cluster.object_deleted);
  cluster.advance(31s);
  cluster.pass();
  EXPECT_TRUE(cluster.object_deleted);
  EXPECT_EQ(cluster.pass(), 0U) << "a terminating object is left to the garbage collector";
}

TEST(DistributedJob, TerminalIsFinal) {
  ClusterModel cluster(job().workers(1).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 0);
  cluster.settle();
  const api::JobStatus before = cluster.status();
  cluster.pods.clear();
  cluster.object["spec"]["suspend"] = true;
  cluster.settle();
  EXPECT_EQ(cluster.status(), before);
  EXPECT_TRUE(cluster.pods.empty());
}

TEST(DistributedJob, APodStuckOnALostNodeIsForceDeletedAfterAMinute) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  for (const char* name : {"digits-worker-0", "digits-worker-1"})
    cluster.pods[name]["spec"]["nodeName"] = std::string("node-of-") + name;
  cluster.evict("digits-worker-1");
  cluster.pods["digits-worker-1"]["status"]["conditions"].back()["reason"] = "DeletionByTaintManager";
  cluster.lost_nodes = {"node-of-digits-worker-1"};
  cluster.settle();
  EXPECT_TRUE(cluster.pods.contains("digits-worker-1"));
  EXPECT_GT(cluster.decide().requeue_after, 1s);
  cluster.advance(50s);
  EXPECT_LE(cluster.decide().requeue_after, 45s) << "the minute counts from the deletion, not from each look";
  cluster.lost_nodes.clear();
  cluster.advance(50s);
  cluster.pass();
  EXPECT_TRUE(cluster.pods.contains("digits-worker-1"))
      << "a taint tolerated no longer is not yet a lost node";
  cluster.lost_nodes = {"node-of-digits-worker-1"};
  cluster.pass();
  EXPECT_FALSE(cluster.pods.contains("digits-worker-1"));
  EXPECT_TRUE(cluster.pods.contains("digits-worker-0")) << "its node is there and will confirm";
  EXPECT_EQ(cluster.count_events("ForceDeleted"), 1);
}

TEST(DistributedJob, AStaleStatusBesideNewerPodsChangesNothing) {
  ClusterModel cluster(job().workers(1).json());
  cluster.bring_up();
  const Json stale = cluster.object;
  cluster.end_pod("digits-worker-0", 1);
  cluster.settle();
  cluster.finish_deletions();
  cluster.bring_up();
  const Decision decision = cluster.decide(stale, cluster.pods);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_GT(decision.requeue_after, 0ms);
}

TEST(DistributedJob, WithoutTrainingNobodyIsDialled) {
  ClusterModel cluster(job().plain().json());
  cluster.bring_up();
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_TRUE(cluster.decide().agents.empty());
  EXPECT_TRUE(cluster.assignments.empty());
  for (int i = 0; i < 4; ++i) cluster.end_pod("digits-worker-" + std::to_string(i), 0, "bye");
  cluster.settle();
  EXPECT_TRUE(cluster.is("Succeeded"));
}

}  // namespace
}  // namespace muster::op::testing
