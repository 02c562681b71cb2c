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

// Kills, judges, replaces and brings up; all that is left is told of it.
void replace_server(ClusterModel& cluster, const std::string& name) {
  cluster.settle();
  cluster.finish_deletions();
  cluster.advance(std::chrono::minutes(1));  // one that is lost again is replaced after a while
  cluster.settle();
  ASSERT_TRUE(cluster.pods.contains(name));
  cluster.start_pods();
  cluster.settle();
}

TEST_F(Servers, OneThatFailsIsReplacedAloneAndItCounts) {
  const auto before = cluster_.pods;
  cluster_.end_pod("digits-server-1", 137);
  cluster_.pass();
  api::JobStatus status = cluster_.status();
  EXPECT_EQ(status.incarnation, 1);
  EXPECT_EQ(status.restarts, 1);
  EXPECT_EQ(status.membership, 1) << "no membership is formed without all servers";
  EXPECT_EQ(status.phase, "Restarting");
  EXPECT_EQ(cluster_.count_events("ServerLost"), 1);
  EXPECT_THAT(cluster_.condition("Restarting")->message,
              HasSubstr("server 1 (digits-server-1) exited with code 137 (SIGKILL)"));
  EXPECT_THAT(cluster_.condition("Restarting")->message,
              HasSubstr("its replacement gets its part of the parameters from server 0; restart 1 of 2"));
  replace_server(cluster_, "digits-server-1");
  status = cluster_.status();
  EXPECT_EQ(status.incarnation, 1);
  EXPECT_EQ(status.restarts, 1);
  EXPECT_EQ(status.membership, 2);
  EXPECT_EQ(status.phase, "Running");
  EXPECT_EQ(cluster_.count_events("ServerLost"), 1);
  for (const auto& [name, pod] : before) {
    EXPECT_EQ(cluster_.uid_of(name) == pod["metadata"]["uid"], name != "digits-server-1") << name;
    EXPECT_EQ(cluster_.assignments.at(cluster_.uid_of(name)).membership(), 2) << name;
    ASSERT_EQ(told(name).roster_size(), 6);
    EXPECT_EQ(told(name).roster(5).pod_uid(), cluster_.uid_of("digits-server-1"));
    EXPECT_EQ(told(name).roster(told(name).rank()).pod_uid(), cluster_.uid_of(name));
  }
}

TEST_F(Servers, OneThatIsEvictedOrDeletedIsReplacedAloneAndNothingCounts) {
  cluster_.evict("digits-server-0");
  replace_server(cluster_, "digits-server-0");
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_EQ(cluster_.status().membership, 2);
  cluster_.pods.erase("digits-server-1");
  replace_server(cluster_, "digits-server-1");
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_EQ(cluster_.status().disruptions, 2);
  EXPECT_EQ(cluster_.status().membership, 3);
}

TEST_F(Servers, BothAtOnceOrTheSecondBeforeTheFirstHasItsPartBeginAnew) {
  for (const bool at_once : {true, false}) {
    ClusterModel cluster(served(2));
    cluster.bring_up();
    cluster.end_pod("digits-server-0", 137);
    if (at_once) {
      cluster.end_pod("digits-server-1", 137);
      cluster.pass();
    } else {
      cluster.settle();
      cluster.finish_deletions();
      cluster.settle();
      cluster.start_pods();
      cluster.pass();
      EXPECT_EQ(cluster.status().incarnation, 1);
      ASSERT_EQ(cluster.status().membership, 2);
      ASSERT_EQ(cluster.assignments.at(cluster.uid_of("digits-worker-0")).membership(), 1);
      cluster.end_pod("digits-server-1", 137);  // nobody has told that he works in membership 2
      cluster.pass();
    }
    EXPECT_EQ(cluster.status().incarnation, 2) << at_once;
    EXPECT_EQ(cluster.status().restarts, 1) << "one cause";
    EXPECT_TRUE(cluster.status().servers.empty());
  }
}

TEST_F(Servers, OfThreeOneAfterTheOtherIsReplacedOnceAllWorkAgain) {
  ClusterModel cluster(served(3));
  cluster.bring_up();
  std::int64_t membership = 1;
  for (const char* name : {"digits-server-0", "digits-server-1", "digits-server-2", "digits-server-0"}) {
    cluster.evict(name);
    replace_server(cluster, name);
    EXPECT_EQ(cluster.status().incarnation, 1) << name;
    EXPECT_EQ(cluster.status().membership, ++membership) << name;
  }
}

TEST_F(Servers, OfFourTwoThatAreNotBesideEachOtherAreReplacedTogether) {
  ClusterModel cluster(served(4));
  cluster.bring_up();
  cluster.evict("digits-server-1");
  cluster.evict("digits-server-3");
  replace_server(cluster, "digits-server-1");
  EXPECT_EQ(cluster.status().incarnation, 1);
  EXPECT_EQ(cluster.status().membership, 2);
  EXPECT_EQ(cluster.status().disruptions, 2);
}

TEST_F(Servers, TheOnlyOneTakesAllWithIt) {
  ClusterModel cluster(served(1));
  cluster.bring_up();
  cluster.end_pod("digits-server-0", 137);
  cluster.pass();
  EXPECT_EQ(cluster.status().incarnation, 2);
  EXPECT_EQ(cluster.status().restarts, 1);
  EXPECT_THAT(cluster.condition("Restarting")->message,
              HasSubstr("server 0 (digits-server-0) exited with code 137 (SIGKILL)"));
}

TEST_F(Servers, OneThatFailsTooOftenFailsTheJob) {
  for (int time = 0; time < 2; ++time) {
    cluster_.end_pod("digits-server-1", 137);
    replace_server(cluster_, "digits-server-1");
  }
  EXPECT_EQ(cluster_.status().restarts, 2);
  cluster_.end_pod("digits-server-1", 137);
  cluster_.settle();
  EXPECT_EQ(cluster_.status().phase, "Failed");
}

TEST_F(Servers, WorkersThatAreLostBesideAServerAreReplacedInTheSameMembership) {
  cluster_.evict("digits-server-0");
  cluster_.evict("digits-worker-1");
  replace_server(cluster_, "digits-server-0");
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.status().disruptions, 2);
  EXPECT_EQ(cluster_.status().membership, 2);
  EXPECT_EQ(cluster_.status().roster.size(), 4U);
  EXPECT_EQ(told("digits-server-0").roster_size(), 6);
}

TEST_F(Servers, OneThatStandsStillByTheWordsOfAWorkerIsReplacedAlone) {
  cluster_.lose_peer("digits-worker-1", silent_words("rank 5 (127.1.0.9:8471)", 1000));
  cluster_.pass();
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_THAT(cluster_.condition("Restarting")->message, HasSubstr("server 1 stands still (digits-server-1"));
  replace_server(cluster_, "digits-server-1");
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.status().membership, 2);
  EXPECT_EQ(cluster_.status().restarts, 0);
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
  for (const char* name : {"digits-server-0", "digits-server-1"})
    EXPECT_FALSE(cluster_.pods.at(name)["metadata"].contains("deletionTimestamp"))
        << "it ends in a moment by the workers' word, and its log is kept";
  cluster_.end_pod("digits-server-0", 0);
  cluster_.advance(std::chrono::seconds(10));
  cluster_.settle();
  cluster_.finish_deletions();
  EXPECT_TRUE(cluster_.pods.contains("digits-server-0"));
  EXPECT_FALSE(cluster_.pods.contains("digits-server-1")) << "one that does not end holds its node";
}

TEST_F(Servers, ThatWaitAndKeepAwayFromANodeThatIsWellAgainAreMadeAnew) {
  cluster_.bad_nodes["n-0"] = {.condition = "KernelDeadlock", .taints = {}};
  cluster_.evict("digits-server-1");
  cluster_.settle();
  cluster_.finish_deletions();
  cluster_.settle();
  ASSERT_TRUE(cluster_.pods.at("digits-server-1")["spec"].contains("affinity"));
  const std::string uid = cluster_.uid_of("digits-server-1");
  cluster_.bad_nodes.clear();
  cluster_.settle();
  cluster_.finish_deletions();
  cluster_.advance(std::chrono::minutes(1));  // one that is lost again is replaced after a while
  cluster_.settle();
  ASSERT_TRUE(cluster_.pods.contains("digits-server-1"));
  EXPECT_NE(cluster_.uid_of("digits-server-1"), uid) << "no other node may have room for it";
  EXPECT_FALSE(cluster_.pods.at("digits-server-1")["spec"].contains("affinity"));
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
