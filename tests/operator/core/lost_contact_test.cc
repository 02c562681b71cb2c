// tests/operator/core/lost_contact_test.cc: pods whose Agents do not answer any more, and of whom no peer
// tells; pods that run and are not ready
#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

ClusterModel alone(const std::string& pod, const Json& object) {
  ClusterModel cluster(object);
  cluster.bring_up();
  cluster.pods.at(pod)["spec"]["nodeName"] = "n-1";
  cluster.silent.insert(cluster.uid_of(pod));
  cluster.pass();
  return cluster;
}

TEST(LostContact, OfAnAggregatorOnALostNodeRestartsTheFederation) {
  ClusterModel cluster = alone("phones-aggregator-0", federated_round(2, 1));
  cluster.advance(10s);
  cluster.lost_nodes = {"n-1"};
  cluster.settle();
  EXPECT_EQ(cluster.status().disruptions, 0);
  cluster.advance(5s);
  cluster.settle();
  EXPECT_EQ(cluster.status().disruptions, 1);
  EXPECT_EQ(cluster.status().restarts, 0);
}

TEST(LostContact, OfAWorkerWithoutPeersOnALostNodeReplacesIt) {
  ClusterModel cluster = alone("digits-worker-0", job().set("/spec/workers/replicas", 1).json());
  cluster.advance(15s);
  cluster.lost_nodes = {"n-1"};
  cluster.settle();
  EXPECT_EQ(cluster.status().disruptions, 1);
}

// It may train on: the operator may be the one that is cut off.
TEST(LostContact, WithoutAWordOfTheNodeIsToldAndNoMore) {
  for (const auto& [pod, object] :
       {std::pair<std::string, Json>{"phones-aggregator-0", federated_round(2, 1)},
        {"digits-worker-0", job().set("/spec/workers/replicas", 1).json()}}) {
    ClusterModel cluster = alone(pod, object);
    EXPECT_FALSE(cluster.is("PodsSilent"));
    cluster.advance(15s);
    cluster.settle();
    ASSERT_TRUE(cluster.is("PodsSilent")) << pod;
    EXPECT_EQ(cluster.condition("PodsSilent")->reason, "AnswersNoMore");
    EXPECT_THAT(cluster.condition("PodsSilent")->message,
                HasSubstr(pod + " has not answered the operator since"));
    const int writes = cluster.status_writes;
    cluster.advance(10min);
    cluster.settle();
    EXPECT_EQ(cluster.status().disruptions, 0);
    EXPECT_EQ(cluster.status_writes, writes) << "said once";
    cluster.silent.clear();
    cluster.settle();
    EXPECT_FALSE(cluster.is("PodsSilent"));
  }
}

TEST(Unready, APodThatRunsAndIsNotReadyIsNamedAfterAMinute) {
  ClusterModel cluster(job().plain().json());
  cluster.bring_up();
  for (Json& condition : cluster.pods.at("digits-worker-1")["status"]["conditions"])
    if (condition["type"] == "Ready")
      condition.update({{"status", "False"}, {"message", "containers with unready status: [worker]"}});
  cluster.touch(cluster.pods.at("digits-worker-1"));
  cluster.settle();
  EXPECT_THAT(cluster.condition("PodsReady")->message, ::testing::Not(HasSubstr("digits-worker-1")));
  cluster.advance(60s);
  cluster.settle();
  EXPECT_THAT(cluster.condition("PodsReady")->message,
              HasSubstr("digits-worker-1: containers with unready status: [worker]"));
}

}  // namespace
}  // namespace muster::op::testing
