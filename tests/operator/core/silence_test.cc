// tests/operator/core/silence_test.cc: pods that never answer, and definitions that are too old, are told on
// the object
#include "operator/core/silence.h"

#include <gmock/gmock.h>

#include "cluster_model.h"
#include "common/base/rfc3339.h"
#include "operator/core/definition.h"

namespace muster::op::testing {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

Json program_job() {
  Json object = job().workers(2).json();
  object["spec"]["training"] = {{"program", Json::object()}};
  object["spec"]["workers"]["template"]["spec"]["containers"] =
      Json::array({{{"name", "train"}, {"image", "train:1"}, {"command", {"python", "train.py"}}}});
  return object;
}

// The pods run; worker 1 was dialled, and has never answered.
void bring_up_but_one(ClusterModel& cluster, const std::string& silent) {
  cluster.settle();
  cluster.start_pods();
  cluster.unheard[cluster.uid_of(silent)] = cluster.now;
  cluster.settle();
}

TEST(PodsSilent, OfAProgramThatHasNotConnectedIsToldAfterFiveMinutes) {
  ClusterModel cluster(program_job());
  bring_up_but_one(cluster, "digits-worker-1");
  EXPECT_EQ(cluster.condition(kPodsSilent), nullptr) << "it may load for a while";
  const Decision waits = cluster.decide();
  EXPECT_GT(waits.requeue_after, seconds(0));
  EXPECT_LE(waits.requeue_after, seconds(300));
  cluster.advance(seconds(301));
  cluster.settle();
  const api::Condition* told = cluster.condition(kPodsSilent);
  ASSERT_NE(told, nullptr);
  EXPECT_TRUE(told->status);
  EXPECT_EQ(told->reason, "ProgramNotConnected");
  EXPECT_THAT(
      told->message,
      HasSubstr("digits-worker-1: the program in container train has not connected to Muster's worker"));
  EXPECT_THAT(told->message, HasSubstr("does its command call muster.init()"));
  EXPECT_THAT(told->message, HasSubstr("kubectl logs digits-worker-1 --container train --namespace default"));
  EXPECT_THAT(told->message, Not(HasSubstr("pods in all")));
  EXPECT_EQ(cluster.count_events("ProgramNotConnected"), 1);

  cluster.unheard.clear();  // it has connected
  cluster.settle();
  EXPECT_FALSE(cluster.is(kPodsSilent));
  EXPECT_EQ(cluster.condition(kPodsSilent)->reason, "PodsAnswer");
}

TEST(PodsSilent, IsLookedForThoughNothingHappensAfterAPodIsDialled) {
  ClusterModel cluster(program_job());
  cluster.settle();
  cluster.start_pods();
  cluster.agents.erase(cluster.uid_of("digits-worker-1"));  // found by an operator that has just taken over
  cluster.settle();
  const Decision first = cluster.decide();
  EXPECT_GT(first.requeue_after, seconds(0));
  EXPECT_LE(first.requeue_after, seconds(300));
}

TEST(PodsSilent, CountsFromTheStartOfTheProgramNotOfThePod) {
  ClusterModel cluster(program_job());
  bring_up_but_one(cluster, "digits-worker-0");
  cluster.advance(seconds(600));
  Json& pod = cluster.pods.at("digits-worker-0");
  pod["status"]["containerStatuses"] =
      Json::array({{{"name", "train"}, {"state", {{"running", {{"startedAt", rfc3339(cluster.now)}}}}}}});
  cluster.settle();
  EXPECT_EQ(cluster.condition(kPodsSilent), nullptr) << "its image was pulled for ten minutes";
}

TEST(PodsSilent, WithoutAProgramIsAPortThatIsClosed) {
  ClusterModel cluster(job().workers(3).json());
  cluster.settle();
  cluster.start_pods();
  for (const char* name : {"digits-worker-0", "digits-worker-2"})
    cluster.unheard[cluster.uid_of(name)] = cluster.now;
  cluster.advance(seconds(61));
  cluster.settle();
  const api::Condition* told = cluster.condition(kPodsSilent);
  ASSERT_NE(told, nullptr);
  EXPECT_EQ(told->reason, "NoAnswer");
  EXPECT_THAT(told->message, HasSubstr("does not answer the operator at 127.1.0."));
  EXPECT_THAT(told->message, HasSubstr(":8470: does a NetworkPolicy"));
  EXPECT_THAT(told->message, HasSubstr("(2 pods in all)"));
}

TEST(PodsSilent, OfClientsAsksForServe) {
  Json round = federated_round(2, 1);
  round["spec"]["training"] = {{"program", Json::object()}};
  round["spec"]["cohort"]["maxExamplesPerClient"] = 100;
  round["spec"]["clients"]["template"]["spec"]["containers"] =
      Json::array({{{"name", "client"}, {"image", "i:1"}}});
  ClusterModel cluster(round);
  bring_up_but_one(cluster, "phones-client-1");
  cluster.advance(seconds(301));
  cluster.settle();
  const api::Condition* told = cluster.condition(kPodsSilent);
  ASSERT_NE(told, nullptr);
  EXPECT_THAT(told->message, HasSubstr("Muster's client in 5 minutes: does it still load, does its command "
                                       "call muster.serve(), or is port 8470 closed"));
}

TEST(PodsSilent, EndsWithTheJob) {
  ClusterModel cluster(program_job());
  bring_up_but_one(cluster, "digits-worker-1");
  cluster.advance(seconds(301));
  cluster.settle();
  ASSERT_TRUE(cluster.is(kPodsSilent));
  cluster.object["spec"]["suspend"] = true;
  cluster.settle();
  EXPECT_FALSE(cluster.is(kPodsSilent));
}

TEST(Definition, ThatIsOlderIsNamedWithTheFieldAndTheRemedy) {
  ClusterModel cluster(job().workers(2).json());
  cluster.unkept = "status.roster";
  cluster.settle();
  const api::Condition* told = cluster.condition(kDefinitionOutdated);
  ASSERT_NE(told, nullptr);
  EXPECT_TRUE(told->status);
  EXPECT_THAT(told->message,
              HasSubstr("distributedjobs.muster.dev is older than the operator (" MUSTER_VERSION ")"));
  EXPECT_THAT(told->message, HasSubstr("no field status.roster"));
  EXPECT_THAT(told->message, HasSubstr("kubectl apply -f crds/"));
  EXPECT_EQ(cluster.count_events(kDefinitionOutdated), 1);
  const Decision again = cluster.decide();
  EXPECT_GT(again.requeue_after, seconds(0)) << "nothing tells that a definition was applied";
  EXPECT_LE(again.requeue_after, seconds(30));
  cluster.unkept = "";
  cluster.settle();
  EXPECT_FALSE(cluster.is(kDefinitionOutdated));
}

TEST(Definition, WhatAServerHasNotKeptIsFoundInObjectsAndLists) {
  const Json kept =
      Json::parse(R"({"status": {"phase": "Pending", "roster": [{"uid": "a"}], "progress": {"step": 1}}})");
  const auto missing = [&kept](const char* status) {
    return field_not_kept({{"status", Json::parse(status)}}, kept);
  };
  EXPECT_EQ(missing(R"({"phase": "Pending", "progress": {"step": 1, "loss": null}, "gang": null})"), "");
  EXPECT_EQ(missing(R"({"membership": 1})"), "status.membership");
  EXPECT_EQ(missing(R"({"progress": {"step": 1, "ledger": []}})"), "status.progress.ledger");
  EXPECT_EQ(missing(R"({"roster": [{"uid": "a", "index": 0}]})"), "status.roster[].index");
  EXPECT_EQ(field_not_kept({{"metadata", {{"uid", "u"}}}}, kept), "");
  EXPECT_EQ(field_not_kept({{"status", {{"phase", "Failed"}}}}, Json::object()), "status.phase");
}

}  // namespace
}  // namespace muster::op::testing
