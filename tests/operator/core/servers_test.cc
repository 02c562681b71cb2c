// tests/operator/core/servers_test.cc: parameter servers beside the workers of a training
#include "operator/core/servers.h"

#include <gmock/gmock.h>

#include "cluster_model.h"
#include "common/json/access.h"
#include "common/pods/standstill.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;

Json served(int shards) {
  return job()
      .max_restarts(2)
      .set("/spec/synchronization",
           {{"topology", "ParameterServer"},
            {"parameterServers",
             {{"shards", shards}, {"template", {{"spec", {{"nodeSelector", {{"memory", "much"}}}}}}}}}})
      .json();
}

class Servers : public ::testing::Test {
 protected:
  Servers() : cluster_(served(2)) { cluster_.bring_up(); }

  [[nodiscard]] const control::v1::WorkerAssignment& told(const std::string& pod) const {
    return cluster_.assignments.at(cluster_.uid_of(pod)).worker();
  }

  ClusterModel cluster_;
};

TEST_F(Servers, ArePodsOfARoleAndATemplateOfTheirOwn) {
  ASSERT_EQ(cluster_.pods.size(), 6U);
  const Json& server = cluster_.pods.at("digits-server-1");
  EXPECT_EQ(member(server, "metadata", "labels", "muster.dev/role"), "server");
  EXPECT_EQ(member(server, "spec", "nodeSelector", "memory"), "much");
  EXPECT_TRUE(member(cluster_.pods.at("digits-worker-0"), "spec", "nodeSelector").is_null());
  EXPECT_EQ(cluster_.status().ready, "6/6");
  EXPECT_EQ(cluster_.status().replicas, 4) << "of /scale";
  EXPECT_EQ(cluster_.status().phase, "Running");
}

TEST_F(Servers, RankBehindTheWorkersAndAllAreTold) {
  for (const auto& [name, pod] : cluster_.pods) {
    EXPECT_EQ(told(name).servers(), 2) << name;
    ASSERT_EQ(told(name).roster_size(), 6) << name;
    EXPECT_EQ(told(name).roster(told(name).rank()).pod_uid(), cluster_.uid_of(name));
  }
  EXPECT_EQ(told("digits-worker-3").rank(), 3);
  EXPECT_EQ(told("digits-server-0").rank(), 4);
  EXPECT_EQ(told("digits-server-1").rank(), 5);
}

TEST_F(Servers, StayWhileWorkersComeAndGo) {
  const std::string uid = cluster_.uid_of("digits-server-0");
  cluster_.end_pod("digits-worker-2", 137);
  cluster_.settle();
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.uid_of("digits-server-0"), uid);
  EXPECT_EQ(cluster_.assignments.at(uid).membership(), 2);
  EXPECT_EQ(told("digits-server-0").rank(), 3);
  EXPECT_EQ(told("digits-server-0").roster_size(), 5);
}

TEST_F(Servers, WithOneThatFailsAllBeginAnewAndItCounts) {
  cluster_.end_pod("digits-server-1", 137);
  cluster_.pass();
  EXPECT_EQ(cluster_.status().incarnation, 2);
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_EQ(cluster_.status().phase, "Restarting");
  EXPECT_THAT(cluster_.condition("Restarting")->message,
              HasSubstr("server 1 (digits-server-1) exited with code 137 (SIGKILL)"));
}

TEST_F(Servers, WithOneThatIsEvictedOrDeletedAllBeginAnewAndNothingCounts) {
  cluster_.evict("digits-server-0");
  cluster_.pass();
  EXPECT_EQ(cluster_.status().incarnation, 2);
  EXPECT_EQ(cluster_.status().restarts, 0);
}

TEST_F(Servers, OneThatVanishedIsNotMadeAnewAmongThoseWhoKnewIt) {
  cluster_.delete_pod("digits-server-0");
  cluster_.finish_deletions();
  cluster_.pass();
  EXPECT_EQ(cluster_.status().incarnation, 2);
  EXPECT_EQ(cluster_.status().restarts, 0);
}

TEST_F(Servers, OneThatStandsStillByTheWordsOfAWorkerEndsTheIncarnation) {
  cluster_.lose_peer("digits-worker-1", silent_words("rank 5 (127.1.0.9:8471)", 1000));
  cluster_.pass();
  EXPECT_EQ(cluster_.status().incarnation, 2);
  EXPECT_THAT(cluster_.condition("Restarting")->message, HasSubstr("server 1 stands still (digits-server-1"));
}

TEST_F(Servers, WhatCannotWorkFailsTheJobWithTheWordsOfTheWorker) {
  cluster_.end_pod("digits-server-0", 65, "rank 2 (127.1.0.3:8471) ended: no such file");
  cluster_.end_pod("digits-worker-2", 65, "spec.training.dataset.path: no such file");
  cluster_.pass();
  EXPECT_EQ(cluster_.status().phase, "Failed");
  EXPECT_THAT(cluster_.condition("Failed")->message, HasSubstr("worker 2 (digits-worker-2)"));
}

TEST_F(Servers, TheJobIsDoneWithItsWorkers) {
  for (const char* name : {"digits-worker-0", "digits-worker-1", "digits-worker-2", "digits-worker-3"})
    cluster_.end_pod(name, 0);
  cluster_.settle();
  EXPECT_EQ(cluster_.status().phase, "Succeeded");
}

TEST(ServerSets, AQueueIsAskedForBothRoles) {
  Json object = served(3);
  object["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team";
  ClusterModel cluster(object);
  cluster.scheduling.known = true;
  cluster.scheduling.queue.kind = ApiKind{"kueue.x-k8s.io", "v1beta2", "workloads", "Workload"};
  cluster.settle();
  const Json& sets = member(cluster.workload, "spec", "podSets");
  ASSERT_EQ(sets.size(), 2U) << cluster.workload.dump(2);
  EXPECT_EQ(sets[0]["count"], 4);
  EXPECT_EQ(sets[1]["name"], "server");
  EXPECT_EQ(sets[1]["count"], 3);
}

}  // namespace
}  // namespace muster::op::testing
