// tests/operator/core/sidecars_test.cc: pods with sidecars, and successes that need evidence, in both kinds
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

constexpr const char* kFinal = R"({"membership": "1", "phase": "PHASE_SUCCEEDED"})";

// The container that carries the role ends; what else is in the pod runs on.
void end_role(ClusterModel& cluster, const std::string& name, int exit_code, const std::string& words) {
  cluster.end_pod(name, exit_code, words);
  Json& status = cluster.pods.at(name)["status"];
  status["phase"] = "Running";
  status["containerStatuses"].push_back({{"name", "istio-proxy"}, {"state", {{"running", Json::object()}}}});
}

Json with_sidecar(Json object, const std::string& part, const std::string& role) {
  object[Json::json_pointer(part)]["template"]["spec"]["containers"] =
      Json::array({{{"name", role}, {"image", "own"}}, {{"name", "istio-proxy"}, {"image", "proxy"}}});
  return object;
}

Json job_with_sidecar() { return with_sidecar(job().workers(2).json(), "/spec/workers", "worker"); }

TEST(Sidecar, ThatNeverEndsKeepsNoJobRunning) {
  ClusterModel cluster(job_with_sidecar());
  cluster.bring_up();
  end_role(cluster, "digits-worker-0", 0, kFinal);
  end_role(cluster, "digits-worker-1", 0, kFinal);
  cluster.pass();
  EXPECT_TRUE(cluster.is("Succeeded"));
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "Completed");
  cluster.settle();
  cluster.finish_deletions();
  EXPECT_TRUE(cluster.pods.empty()) << "cleanPodPolicy Running: something in them still ran";
}

TEST(Sidecar, ThatNeverEndsHoldsNoNodeForAFailedJob) {
  Json object = with_sidecar(job().workers(2).max_restarts(0).json(), "/spec/workers", "worker");
  ClusterModel cluster(std::move(object));
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", 1, "first, and wholly");
  end_role(cluster, "digits-worker-0", 1, "disk full");
  cluster.settle();
  ASSERT_TRUE(cluster.is("Failed"));
  cluster.finish_deletions();
  EXPECT_TRUE(cluster.pods.contains("digits-worker-0")) << "its log can still be read";
  cluster.advance(11s);
  cluster.settle();
  cluster.finish_deletions();
  EXPECT_FALSE(cluster.pods.contains("digits-worker-0")) << "its sidecar would hold the node's GPUs";
  EXPECT_TRUE(cluster.pods.contains("digits-worker-1")) << "it has wholly ended";
}

TEST(Sidecar, ThatNeverEndsKeepsNoFederationRunning) {
  ClusterModel cluster(with_sidecar(federated_round(2, 1), "/spec/aggregator", "aggregator"));
  cluster.bring_up();
  end_role(cluster, "phones-aggregator-0", 0, kFinal);
  cluster.pass();
  EXPECT_TRUE(cluster.is("Succeeded"));
}

TEST(Sidecar, OfAPlainJobDecidesNothingEither) {
  ClusterModel cluster(job().workers(1).plain().json());
  cluster.bring_up();
  end_role(cluster, "digits-worker-0", 0, "bye");
  cluster.pass();
  EXPECT_TRUE(cluster.is("Succeeded"));
}

TEST(Sidecar, ThatFailsEarlyOrLateIsNoFailure) {
  ClusterModel cluster(job_with_sidecar());
  cluster.bring_up();
  Json& status = cluster.pods.at("digits-worker-0")["status"];
  status["containerStatuses"] = Json::array(
      {{{"name", "worker"}, {"state", {{"running", Json::object()}}}},
       {{"name", "istio-proxy"}, {"state", {{"terminated", {{"exitCode", 1}, {"message", "no mesh"}}}}}}});
  cluster.settle();
  EXPECT_EQ(cluster.status().incarnation, 1);
  end_role(cluster, "digits-worker-1", 0, kFinal);
  Json& late = cluster.pods.at("digits-worker-1")["status"];
  late["phase"] = "Failed";
  late["containerStatuses"][1]["state"] = {{"terminated", {{"exitCode", 65}}}};
  cluster.settle();
  EXPECT_EQ(cluster.status().restarts, 0);
  EXPECT_EQ(cluster.status().succeeded_ranks, std::vector<std::int64_t>{1});
}

// As admission webhooks do; the name of the role's container is the author's.
TEST(Sidecar, ThatAWebhookPutsFirstDecidesNothing) {
  ClusterModel cluster(job().workers(2).max_restarts(2).plain().json());
  cluster.bring_up();
  const Json proxy{{"name", "istio-proxy"}, {"image", "proxy"}};
  for (auto& [name, pod] : cluster.pods) {
    Json& containers = pod["spec"]["containers"];
    ASSERT_EQ(containers[0]["name"], "main");
    containers.insert(containers.begin(), proxy);
    const auto seen = pod_from_json(pod, "job-uid");
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->container, "main");
    EXPECT_EQ(seen->image, "debian:12");
  }
  for (auto& [name, pod] : cluster.pods)
    pod["status"]["containerStatuses"] =
        Json::array({{{"name", "istio-proxy"}, {"state", {{"terminated", {{"exitCode", 1}}}}}},
                     {{"name", "main"}, {"state", {{"running", Json::object()}}}}});
  cluster.settle();
  EXPECT_EQ(cluster.status().restarts, 0);
  for (auto& [name, pod] : cluster.pods)
    pod["status"]["containerStatuses"][1]["state"] = {{"terminated", {{"exitCode", 0}}}};
  cluster.settle();
  EXPECT_TRUE(cluster.is("Succeeded"));
}

TEST(Sidecar, DoesNotHideAFailureOfTheRole) {
  ClusterModel cluster(job_with_sidecar());
  cluster.bring_up();
  end_role(cluster, "digits-worker-1", 65, "no such file");
  cluster.pass();
  EXPECT_EQ(cluster.condition("Failed")->reason, "PodFailedPermanently");
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("no such file"));
  cluster.settle();
  cluster.finish_deletions();
  EXPECT_TRUE(cluster.pods.contains("digits-worker-1")) << "its log is the evidence";
  EXPECT_FALSE(cluster.pods.contains("digits-worker-0"));
}

TEST(Evidence, AnInitContainersWordsAreInConditionAndEvent) {
  ClusterModel cluster(job().workers(1).max_restarts(0).json());
  cluster.settle();
  Json& pod = cluster.pods.at("digits-worker-0");
  pod["spec"]["initContainers"] = Json::array({{{"name", "fetch"}, {"image", "x"}}});
  pod["status"] = {
      {"phase", "Failed"},
      {"initContainerStatuses",
       Json::array({{{"name", "fetch"},
                     {"state", {{"terminated", {{"exitCode", 7}, {"message", "no such bucket"}}}}}}})}};
  cluster.settle();
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_THAT(cluster.condition("Failed")->message,
              HasSubstr("container fetch exited with code 7: no such bucket"));
  EXPECT_THAT(cluster.events.back().message, HasSubstr("no such bucket"));
}

TEST(Evidence, OfAFailedPodIsThereForAWhileBeforeAllGoes) {
  ClusterModel cluster(job().workers(2).clean("All").ttl(0).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 65, "no such file");
  cluster.settle();
  cluster.finish_deletions();
  EXPECT_TRUE(cluster.pods.contains("digits-worker-0"));
  EXPECT_FALSE(cluster.pods.contains("digits-worker-1"));
  EXPECT_FALSE(cluster.object_deleted);
  EXPECT_GT(cluster.decide().requeue_after, 0s);
  cluster.advance(10s);
  cluster.pass();
  cluster.finish_deletions();
  EXPECT_TRUE(cluster.pods.empty());
  EXPECT_TRUE(cluster.object_deleted);
}

TEST(Evidence, ASuccessWithoutTheFinalStatusOfATrainingIsNone) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 0, "hello world");
  cluster.settle();
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->reason, "SuccessWithoutTraining");
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("remove image and command, or spec.training"));
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("hello world"));
}

// The one worker's Agent has told of this end; then its pod ends with 0 and these last words.
void end_worker(ClusterModel& cluster, control::v1::Phase told_phase, const std::string& last_words) {
  cluster.bring_up();
  const std::string uid = cluster.uid_of("digits-worker-0");
  control::v1::AgentStatus told = cluster.agents.at(uid);
  told.set_phase(told_phase);
  cluster.end_pod("digits-worker-0", 0, last_words);
  cluster.agents[uid] = told;
  cluster.settle();
}

TEST(Evidence, TheAgentsWordCountsWhereTheLastWordsAreLost) {
  ClusterModel cluster(job().workers(1).json());
  end_worker(cluster, control::v1::PHASE_SUCCEEDED, "\n");
  EXPECT_TRUE(cluster.is("Succeeded"));
}

TEST(Evidence, AWorkerWhoseAgentHasFailedDidNotSucceed) {
  ClusterModel cluster(job().workers(1).json());
  end_worker(cluster, control::v1::PHASE_FAILED, "no such file");
  EXPECT_EQ(cluster.condition("Failed")->reason, "SuccessWithoutTraining");
}

class EvidenceOfARole : public ::testing::TestWithParam<std::vector<std::string>> {};

TEST_P(EvidenceOfARole, IsNeededInAFederation) {
  ClusterModel cluster(federated_round(2, 1));
  cluster.bring_up();
  for (const std::string& name : GetParam()) {
    EXPECT_FALSE(cluster.is("Failed"));
    cluster.end_pod(name, 0, "hello world");
    cluster.settle();
  }
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->reason, "SuccessWithoutTraining");
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("remove image and command in spec."));
}
INSTANTIATE_TEST_SUITE_P(Roles, EvidenceOfARole,
                         ::testing::Values(std::vector<std::string>{"phones-aggregator-0"},
                                           std::vector<std::string>{"phones-client-1", "phones-client-0"}));

// One client's program that calls exit(0) does not end the federation of the others.
TEST(Evidence, OfOneClientOfManyLacksAndTheOthersGoOn) {
  Json object = federated_round(5, 1);
  object["spec"]["training"] = {{"program", Json::object()}};
  object["spec"]["cohort"] = {{"size", 4}, {"minimum", 3}, {"maxExamplesPerClient", 100}};
  object["spec"]["clients"]["template"]["spec"]["containers"] =
      Json::array({{{"name", "client"}, {"image", "i:1"}}});
  ClusterModel cluster(object);
  cluster.bring_up();
  const std::string neighbour = cluster.uid_of("phones-client-0");
  const std::string ended = cluster.uid_of("phones-client-1");
  cluster.end_pod("phones-client-1", 0, "hello world");
  for (int i = 0; i < 3; ++i) cluster.settle();
  EXPECT_FALSE(cluster.is("Failed"));
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_EQ(cluster.uid_of("phones-client-0"), neighbour);
  EXPECT_EQ(cluster.uid_of("phones-client-1"), ended) << "a new one would do the same";
  ASSERT_TRUE(cluster.is("ClientsAway"));
  EXPECT_EQ(cluster.condition("ClientsAway")->reason, "SuccessWithoutTraining");
  EXPECT_EQ(
      cluster.condition("ClientsAway")->message,
      "client 1 (phones-client-1) exited with code 0, but no training has ended in it: a program is done "
      "when muster.serve returns (MUSTER_END in C); let it go on until then: hello world; a restart "
      "would not help: delete its pod to try again; 4 of 5 clients are left");
  EXPECT_EQ(cluster.count_events("ClientsAway"), 1);

  cluster.end_pod("phones-client-3", 65, "muster.dev/ending: /data: no such folder");
  cluster.settle();
  EXPECT_FALSE(cluster.is("Failed")) << "3 are left, as many as the minimum";
  cluster.end_pod("phones-client-0", 0, "hello world");
  cluster.settle();
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->reason, "SuccessWithoutTraining");
  EXPECT_THAT(cluster.condition("Failed")->message,
              HasSubstr("2 of 5 clients are left, fewer than cohort.minimum 3"));
}

TEST(Evidence, AClientThatHadNoneIsTriedAgainOnceSomebodyDeletesItsPod) {
  ClusterModel cluster(federated_round(3, 1));
  cluster.bring_up();
  cluster.end_pod("phones-client-1", 0, "hello world");
  cluster.settle();
  ASSERT_TRUE(cluster.is("ClientsAway"));
  cluster.delete_pod("phones-client-1");
  cluster.settle();
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_FALSE(cluster.is("ClientsAway"));
  EXPECT_EQ(cluster.status().ready, "4/4");
}

TEST(Readiness, OfAFinishedJobWaitsForNobody) {
  ClusterModel cluster(job().workers(2).max_restarts(0).json());
  cluster.settle();
  ASSERT_EQ(cluster.condition("PodsReady")->reason, "WaitingForPods");
  cluster.start_pods();
  cluster.end_pod("digits-worker-0", 1, "x");
  cluster.settle();
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "MaxRestartsExceeded");
}

}  // namespace
}  // namespace muster::op::testing
