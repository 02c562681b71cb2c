// tests/operator/core/reconcile_federated_round_test.cc: the life of a FederatedRound, judged by the state
// reached
#include "operator/core/reconcile_federated_round.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

constexpr const char* kAggregator = "phones-aggregator-0";

TEST(FederatedRound, CreatesAnAggregatorAndAClientPodForEveryPerPodClients) {
  ClusterModel cluster(federated_round(10, 4));
  cluster.pass();
  EXPECT_EQ(cluster.pods.size(), 4U);
  EXPECT_TRUE(cluster.pods.contains(kAggregator));
  EXPECT_TRUE(cluster.pods.contains("phones-client-2"));
  EXPECT_FALSE(cluster.pods.contains("phones-client-3"));
}

TEST(FederatedRound, EveryClientIsPlayedByExactlyOnePod) {
  ClusterModel cluster(federated_round(10, 4));
  cluster.bring_up();
  std::vector<int> played(10, 0);
  for (int pod = 0; pod < 3; ++pod) {
    const control::v1::Assignment& told =
        cluster.assignments.at(cluster.uid_of("phones-client-" + std::to_string(pod)));
    const control::v1::ClientAssignment& part = told.client();
    EXPECT_EQ(part.aggregator(),
              cluster.pods.at(kAggregator)["status"]["podIP"].get<std::string>() + ":8471");
    const auto read = spec::federated_round_from_json(Json::parse(told.spec()));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->federation.clients_per_pod, 4);
    for (auto client = part.first_client(); client < part.first_client() + part.clients(); ++client)
      played.at(static_cast<std::size_t>(client)) += 1;
  }
  EXPECT_EQ(played, std::vector<int>(10, 1));
  EXPECT_EQ(cluster.status().ready, "4/4");
  EXPECT_EQ(cluster.status().phase, "Running");
}

TEST(FederatedRound, SecondPassOverTheLandedResultDoesNothing) {
  ClusterModel cluster(federated_round(10, 4));
  cluster.bring_up();
  EXPECT_EQ(cluster.pass(), 0U);
  cluster.end_pod(kAggregator, 0);
  cluster.settle();
  EXPECT_TRUE(cluster.is("Succeeded"));
  EXPECT_EQ(cluster.pass(), 0U);
}

TEST(FederatedRound, ConfiguresClientsOnlyOnceTheAggregatorHasItsPart) {
  ClusterModel cluster(federated_round(4, 2));
  cluster.settle();
  cluster.start_pods();
  cluster.pass();
  cluster.pass();
  ASSERT_EQ(cluster.assignments.size(), 1U);
  EXPECT_TRUE(cluster.assignments.contains(cluster.uid_of(kAggregator)));
  cluster.agents_follow();
  cluster.pass();
  EXPECT_EQ(cluster.assignments.size(), 3U);
}

TEST(FederatedRound, AKilledClientPodIsReplacedAloneAndNotCounted) {
  ClusterModel cluster(federated_round(10, 4));
  cluster.bring_up();
  const std::string aggregator = cluster.uid_of(kAggregator);
  const std::string neighbour = cluster.uid_of("phones-client-0");
  const std::string killed = cluster.uid_of("phones-client-1");
  cluster.end_pod("phones-client-1", 137);
  cluster.settle();
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_EQ(cluster.uid_of(kAggregator), aggregator);
  EXPECT_EQ(cluster.uid_of("phones-client-0"), neighbour);
  EXPECT_NE(cluster.uid_of("phones-client-1"), killed);
  EXPECT_EQ(cluster.status().restarts, 0);
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_EQ(cluster.status().incarnation, 1);
  EXPECT_TRUE(cluster.assignments.contains(cluster.uid_of("phones-client-1")));
  ASSERT_EQ(cluster.status().pod_attempts.size(), 1U);
  EXPECT_EQ(cluster.status().pod_attempts[0].index, 1);
}

TEST(FederatedRound, ALostClientPodDisconnectsNobodyElse) {
  ClusterModel cluster(federated_round(10, 4));
  cluster.bring_up();
  cluster.end_pod("phones-client-1", 137);
  EXPECT_EQ(cluster.decide().agents.size(), 3U) << "the pass that judges it";
  cluster.settle();
  EXPECT_EQ(cluster.decide().agents.size(), 3U);
}

TEST(FederatedRound, ASnapshotOfTwoInstantsDisconnectsNobody) {
  ClusterModel cluster(federated_round(4, 2));
  cluster.bring_up();
  const Json stale = cluster.object;
  cluster.end_pod(kAggregator, 137);
  cluster.settle();
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_EQ(cluster.decide(stale, cluster.pods).agents.size(), 3U);
}

TEST(FederatedRound, ReplacementsOfOneClientPodBackOffTheFirstIsAtOnce) {
  Json object = federated_round(2, 2);
  object["spec"]["runPolicy"]["maxRestarts"] = 100;
  ClusterModel cluster(object);
  cluster.bring_up();
  std::vector<long> waits;
  for (int i = 0; i < 8; ++i) {
    cluster.end_pod("phones-client-0", 1);
    cluster.pass();
    cluster.pass();
    cluster.finish_deletions();
    const auto wait = cluster.decide().requeue_after;
    waits.push_back(static_cast<long>(std::chrono::round<std::chrono::seconds>(wait).count()));
    cluster.now += wait;
    cluster.pass();
    cluster.start_pods();
    cluster.pass();
  }
  EXPECT_EQ(waits, (std::vector<long>{0, 10, 20, 40, 80, 160, 300, 300}));
}

TEST(FederatedRound, ARefusedReplacementIsNotAskedForAgainAtEveryProgress) {
  ClusterModel cluster(federated_round(10, 4));
  cluster.bring_up();
  cluster.end_pod("phones-client-1", 137);
  cluster.settle();
  cluster.finish_deletions();
  cluster.obstacle = Obstacle{Obstacle::Kind::kRefused, "exceeded quota: pods"};
  control::v1::AggregatorProgress& told =
      *cluster.agents.at(cluster.uid_of(kAggregator)).mutable_aggregator();
  told.set_round(3);
  told.set_rounds(5);
  cluster.settle();
  EXPECT_FALSE(cluster.pods.contains("phones-client-1"));
  EXPECT_EQ(cluster.status().progress["round"], 3) << "the federation goes on and is told of";
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "FailedCreate");
  cluster.obstacle.reset();
  cluster.bring_up();
  EXPECT_EQ(cluster.status().ready, "4/4");
}

TEST(FederatedRound, AClientThatCannotWorkIsAwayForGoodAndTheOthersGoOn) {
  ClusterModel cluster(federated_round(10, 4));
  cluster.bring_up();
  const std::string neighbour = cluster.uid_of("phones-client-0");
  const std::string broken = cluster.uid_of("phones-client-2");
  cluster.end_pod("phones-client-2", 65, "/data: no such folder");
  for (int i = 0; i < 3; ++i) cluster.settle();
  EXPECT_FALSE(cluster.is("Failed"));
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_EQ(cluster.uid_of("phones-client-0"), neighbour);
  EXPECT_EQ(cluster.uid_of("phones-client-2"), broken) << "a new one would meet the same";
  ASSERT_TRUE(cluster.is("ClientsAway"));
  EXPECT_EQ(
      cluster.condition("ClientsAway")->message,
      "client 2 (phones-client-2) exited with code 65: /data: no such folder; a restart would not help: "
      "delete its pod to try again; 8 of 10 clients are left");
  EXPECT_EQ(cluster.count_events("ClientsAway"), 1);
  cluster.end_pod("phones-client-1", 74);
  cluster.settle();
  EXPECT_EQ(cluster.count_events("ClientsAway"), 2) << "each is told";
  EXPECT_THAT(cluster.condition("ClientsAway")->message, HasSubstr("4 of 10 clients are left"));
}

TEST(FederatedRound, APodThatWasAwayIsTriedAgainOnceSomebodyDeletesIt) {
  ClusterModel cluster(federated_round(10, 4));
  cluster.bring_up();
  const std::string broken = cluster.uid_of("phones-client-2");
  cluster.end_pod("phones-client-2", 65);
  cluster.settle();
  cluster.delete_pod("phones-client-2");
  cluster.settle();
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_NE(cluster.uid_of("phones-client-2"), broken);
  EXPECT_FALSE(cluster.is("ClientsAway"));
  EXPECT_EQ(cluster.status().ready, "4/4");
}

TEST(FederatedRound, FailsWhenFewerClientsThanTheMinimumAreLeft) {
  Json object = federated_round(10, 4);
  object["spec"]["cohort"] = {{"size", 8}, {"minimum", 7}};
  ClusterModel cluster(object);
  cluster.bring_up();
  cluster.end_pod("phones-client-2", 65, "/data: no such folder");
  cluster.settle();
  EXPECT_FALSE(cluster.is("Failed")) << "8 are left";
  cluster.end_pod("phones-client-1", 137);
  cluster.settle();
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_FALSE(cluster.is("Failed")) << "that one comes back";
  cluster.end_pod("phones-client-1", 74);
  cluster.settle();
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->reason, "PodFailedPermanently");
  EXPECT_EQ(cluster.condition("Failed")->message,
            "client 1 (phones-client-1) exited with code 74; a restart would not help (and 1 more ended so), "
            "and 4 of 10 clients are left, fewer than cohort.minimum 7");
}

TEST(FederatedRound, WhenNoClientCanWorkItFailsWithTheWordsOfTheFirst) {
  ClusterModel cluster(federated_round(10, 4));
  cluster.bring_up();
  for (const char* pod : {"phones-client-2", "phones-client-0", "phones-client-1"}) {
    EXPECT_FALSE(cluster.is("Failed")) << pod;
    cluster.end_pod(pod, 65, "/data: no such folder");
    cluster.settle();
  }
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->reason, "PodFailedPermanently");
  EXPECT_EQ(cluster.condition("Failed")->message,
            "client 0 (phones-client-0) exited with code 65: /data: no such folder; a restart would not help "
            "(and 2 more ended so)");
}

// One pod fails, and its replacement comes up when it is due.
void fail_and_replace(ClusterModel& cluster, const std::string& pod, int exit_code,
                      const std::string& words) {
  cluster.end_pod(pod, exit_code, words);
  cluster.settle();
  cluster.finish_deletions();
  cluster.advance(300s);
  cluster.bring_up();
}

TEST(FederatedRound, FailsWhenTheClientPodsCanNeverStart) {
  ClusterModel cluster(federated_round(4, 2));  // maxRestarts 3
  cluster.bring_up();
  for (int i = 0; i < 3; ++i)
    for (const char* pod : {"phones-client-0", "phones-client-1"})
      fail_and_replace(cluster, pod, 4, "no such bucket");
  fail_and_replace(cluster, "phones-client-0", 4, "no such bucket");
  EXPECT_FALSE(cluster.is("Failed")) << "one pod is left that has failed three times only";
  cluster.end_pod("phones-client-1", 4, "no such bucket");
  cluster.settle();
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->reason, "MaxRestartsExceeded");
  EXPECT_EQ(cluster.condition("Failed")->message,
            "client 1 (phones-client-1) exited with code 4: no such bucket; it failed 4 times with no round "
            "committed meanwhile, runPolicy.maxRestarts is 3; 0 of 4 clients are left, fewer than "
            "cohort.minimum 1");
}

TEST(FederatedRound, ARoundThatIsCommittedBreaksTheRowOfFailures) {
  ClusterModel cluster(federated_round(2, 2));
  cluster.bring_up();
  for (int round = 1; round <= 8; ++round) {
    for (int i = 0; i < 3; ++i) fail_and_replace(cluster, "phones-client-0", 137, "");
    control::v1::AggregatorProgress& told =
        *cluster.agents.at(cluster.uid_of(kAggregator)).mutable_aggregator();
    told.set_round(round);
    told.set_rounds(10);
    cluster.advance(10s);
    cluster.settle();
    ASSERT_FALSE(cluster.is("Failed")) << round;
    EXPECT_EQ(cluster.status().pod_attempts.at(0).failures, 0);
  }
  EXPECT_EQ(cluster.status().pod_attempts.at(0).attempt, 24);
}

TEST(FederatedRound, EvictionsOfClientPodsAreHeldAgainstNobody) {
  ClusterModel cluster(federated_round(2, 2));
  cluster.bring_up();
  for (int i = 0; i < 8; ++i) {
    cluster.end_pod("phones-client-0", 137);
    cluster.pods.at("phones-client-0")["status"]["conditions"].push_back(
        {{"type", "DisruptionTarget"}, {"status", "True"}, {"reason", "TerminationByKubelet"}});
    cluster.settle();
    cluster.finish_deletions();
    cluster.advance(300s);
    cluster.bring_up();
  }
  EXPECT_FALSE(cluster.is("Failed"));
  ASSERT_EQ(cluster.status().pod_attempts.size(), 1U);
  EXPECT_EQ(cluster.status().pod_attempts.at(0).attempt, 8);
  EXPECT_EQ(cluster.status().pod_attempts.at(0).failures, 0);
}

TEST(FederatedRound, SaysHowManyPodsRunAndWarnsOfThoseThatFail) {
  ClusterModel cluster(federated_round(4, 2));
  cluster.bring_up();
  EXPECT_EQ(cluster.condition("Running")->message, "all pods of the incarnation are running");
  cluster.end_pod("phones-client-1", 4, "no such bucket");
  cluster.settle();
  cluster.finish_deletions();
  cluster.settle();
  EXPECT_EQ(cluster.condition("Running")->message, "2 of 3 pods of the incarnation are running");
  const auto told = std::find_if(cluster.events.begin(), cluster.events.end(),
                                 [](const EmitEvent& event) { return event.reason == "ClientsReplaced"; });
  ASSERT_NE(told, cluster.events.end());
  EXPECT_EQ(told->type, "Warning");
  EXPECT_THAT(told->message, HasSubstr("no such bucket"));
}

TEST(FederatedRound, ARestartedAggregatorCountsAndTheClientsMeetItAnew) {
  ClusterModel cluster(federated_round(10, 4));
  cluster.bring_up();
  cluster.end_pod("phones-client-1", 0);  // done for an aggregator that is lost
  cluster.end_pod(kAggregator, 137);
  cluster.settle();
  EXPECT_EQ(cluster.status().restarts, 1);
  EXPECT_EQ(cluster.status().phase, "Restarting");
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_EQ(cluster.status().ready, "4/4");
  for (int pod = 0; pod < 3; ++pod) {
    const control::v1::Assignment& told =
        cluster.assignments.at(cluster.uid_of("phones-client-" + std::to_string(pod)));
    EXPECT_EQ(told.membership(), 2);
    EXPECT_EQ(told.client().aggregator(),
              cluster.pods.at(kAggregator)["status"]["podIP"].get<std::string>() + ":8471");
  }
  EXPECT_TRUE(cluster.status().pod_attempts.empty());
  EXPECT_EQ(cluster.pass(), 0U);
}

TEST(FederatedRound, AnEvictedAggregatorRestartsWithoutCounting) {
  ClusterModel cluster(federated_round(4, 2));
  cluster.bring_up();
  cluster.evict(kAggregator);
  cluster.settle();
  EXPECT_EQ(cluster.status().restarts, 0);
  EXPECT_EQ(cluster.status().disruptions, 1);
}

TEST(FederatedRound, TheAggregatorFailsPastMaxRestarts) {
  Json object = federated_round(4, 2);
  object["spec"]["runPolicy"]["maxRestarts"] = 0;
  ClusterModel cluster(object);
  cluster.bring_up();
  cluster.end_pod(kAggregator, 1, "out of luck");
  cluster.settle();
  EXPECT_EQ(cluster.condition("Failed")->reason, "MaxRestartsExceeded");
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("out of luck"));
}

TEST(FederatedRound, ItsProgressIsTheAggregators) {
  ClusterModel cluster(federated_round(4, 2));
  cluster.bring_up();
  control::v1::AggregatorProgress& told =
      *cluster.agents.at(cluster.uid_of(kAggregator)).mutable_aggregator();
  told.set_round(3);
  told.set_rounds(5);
  told.set_connected(4);
  told.set_accuracy(0.61234);
  told.set_loss(1.5);
  for (int round = 1; round <= 3; ++round) told.add_history()->set_at(round);
  cluster.settle();
  EXPECT_EQ(cluster.status().progress["round"], 3);
  EXPECT_EQ(cluster.status().progress["accuracy"], 0.6123);
  EXPECT_EQ(cluster.status().history.size(), 3U);
  cluster.end_pod(
      kAggregator, 0,
      R"({"membership":"1","phase":"PHASE_SUCCEEDED","aggregator":{"round":"5","rounds":"5","loss":1.1,)"
      R"("accuracy":0.76}})");
  cluster.settle();
  ASSERT_TRUE(cluster.is("Succeeded"));
  EXPECT_EQ(cluster.status().progress["round"], 5);
  EXPECT_EQ(cluster.status().history.size(), 4U);
  EXPECT_EQ(cluster.status().history[3]["accuracy"], 0.76);
  EXPECT_THAT(cluster.condition("Succeeded")->message, HasSubstr("5 of 5 rounds committed, accuracy 0.76"));
}

TEST(FederatedRound, SuspendDeletesEveryPodAndResumeBringsThemBack) {
  ClusterModel cluster(federated_round(4, 2));
  cluster.bring_up();
  cluster.object["spec"]["suspend"] = true;
  cluster.settle();
  cluster.finish_deletions();
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty());
  EXPECT_EQ(cluster.status().phase, "Suspended");
  cluster.object["spec"]["suspend"] = false;
  cluster.bring_up();
  EXPECT_EQ(cluster.pods.size(), 3U);
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_EQ(cluster.status().restarts + cluster.status().disruptions, 0);
}

TEST(FederatedRound, WhenItIsDoneClientsHaveAMomentToEndBeforeTheyAreDeleted) {
  ClusterModel cluster(federated_round(6, 2));
  cluster.bring_up();
  cluster.end_pod(kAggregator, 0);
  cluster.end_pod("phones-client-0", 0);
  cluster.settle();
  EXPECT_TRUE(cluster.is("Succeeded"));
  cluster.end_pod("phones-client-1", 0);
  cluster.settle();
  cluster.finish_deletions();
  EXPECT_EQ(cluster.pods.size(), 4U) << "all three may still end by themselves";
  cluster.advance(11s);
  cluster.settle();
  cluster.finish_deletions();
  EXPECT_TRUE(cluster.pods.contains(kAggregator));
  EXPECT_TRUE(cluster.pods.contains("phones-client-1")) << "with its log";
  EXPECT_FALSE(cluster.pods.contains("phones-client-2"));
}

TEST(FederatedRound, ACohortLargerThanTheCrowdIsAnInvalidSpec) {
  Json object = federated_round(4, 2);
  object["spec"]["cohort"] = {{"size", 4}, {"overSelection", 1.5}};
  ClusterModel cluster(object);
  cluster.settle();
  EXPECT_EQ(cluster.condition("Failed")->reason, "InvalidSpec");
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("selects 6 clients"));
}

}  // namespace
}  // namespace muster::op::testing
