// tests/operator/core/failure_rules_test.cc: spec.runPolicy.failurePolicy and successPolicy, end to end
// through passes over a cluster
#include "operator/core/failure_rules.h"

#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;

Json rule(const char* action, Json requirement) {
  requirement["action"] = action;
  return requirement;
}

Json on_codes(std::vector<int> values, const char* how = "In") {
  return {{"onExitCodes", {{"operator", how}, {"values", values}}}};
}

JobBuilder job_with(Json rules) {
  return job().workers(3).plain().set("/spec/runPolicy/failurePolicy", {{"rules", std::move(rules)}});
}

TEST(FailureRules, AnExitCodeFailsTheJobAtOnce) {
  ClusterModel cluster(job_with(Json::array({rule("FailJob", on_codes({3, 4}))})).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", 4);
  cluster.settle();
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->reason, "FailurePolicy");
  EXPECT_THAT(cluster.condition("Failed")->message,
              HasSubstr("exited with code 4; runPolicy.failurePolicy.rules[0] says FailJob"));
}

TEST(FailureRules, TheFirstRuleThatFitsDecides) {
  ClusterModel cluster(
      job_with(Json::array({rule("Ignore", on_codes({42})), rule("FailJob", on_codes({3}, "NotIn"))}))
          .json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", 42);
  cluster.settle();
  EXPECT_FALSE(cluster.is("Failed"));
  EXPECT_EQ(cluster.status().restarts, 0) << "ignored failures do not count";
  EXPECT_EQ(cluster.status().incarnation, 2);
  cluster.finish_deletions();
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", 3);
  cluster.settle();
  EXPECT_EQ(cluster.status().restarts, 1) << "no rule fits: a failure like any other";
  cluster.finish_deletions();
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", 5);
  cluster.settle();
  EXPECT_TRUE(cluster.is("Failed"));
}

TEST(FailureRules, AnIgnoredFailureBesideOneThatIsNotCounts) {
  ClusterModel cluster(job_with(Json::array({rule("Ignore", on_codes({42}))})).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 42);
  cluster.end_pod("digits-worker-1", 1);
  cluster.settle();
  EXPECT_EQ(cluster.status().restarts, 1);
}

TEST(FailureRules, ASidecarsExitCodeIsNotTheWorkers) {
  Json codes = on_codes({4});
  codes["onExitCodes"]["containerName"] = "mesh";
  ClusterModel cluster(
      job_with(Json::array({rule("FailJob", codes)}))
          .set("/spec/workers/template/spec/containers",
               Json::array({{{"name", "main"}, {"image", "a:1"}}, {{"name", "mesh"}, {"image", "m:1"}}}))
          .json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", 4);
  cluster.settle();
  EXPECT_FALSE(cluster.is("Failed"));
  EXPECT_EQ(cluster.status().restarts, 1);
}

TEST(FailureRules, AnEvictionFailsTheJobIfTheUserSaysSo) {
  ClusterModel cluster(
      job_with(Json::array({rule("FailJob", {{"onPodConditions", {{{"type", "DisruptionTarget"}}}}})}))
          .json());
  cluster.bring_up();
  cluster.evict("digits-worker-2");
  cluster.settle();
  EXPECT_TRUE(cluster.is("Failed"));
}

TEST(FailureRules, OutOfMemoryIsAReason) {
  ClusterModel cluster(job_with(Json::array({rule("FailJob", {{"onReasons", {"OOMKilled"}}})})).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-2", 137);
  cluster.pods["digits-worker-2"]["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] =
      "OOMKilled";
  cluster.settle();
  EXPECT_TRUE(cluster.is("Failed"));
}

TEST(FailureRules, ARuleMakesAPermanentExitCodeOfOursARestart) {
  ClusterModel cluster(job()
                           .set("/spec/runPolicy/failurePolicy",
                                {{"rules", Json::array({rule("RestartJob", on_codes({74}))})}})
                           .json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", 74, "checkpoint: no space left on device");
  cluster.settle();
  EXPECT_FALSE(cluster.is("Failed"));
  EXPECT_EQ(cluster.status().restarts, 1);
}

class RestartPod : public ::testing::Test {
 protected:
  RestartPod() { cluster_.bring_up(); }
  ClusterModel cluster_{job_with(Json::array({rule("RestartPod", on_codes({7}))})).max_restarts(2).json()};
};

TEST_F(RestartPod, TheOthersKeepRunning) {
  const std::string other = cluster_.uid_of("digits-worker-0");
  const std::string failed = cluster_.uid_of("digits-worker-1");
  cluster_.end_pod("digits-worker-1", 7);
  cluster_.settle();
  cluster_.finish_deletions();
  cluster_.bring_up();
  EXPECT_EQ(cluster_.uid_of("digits-worker-0"), other);
  EXPECT_NE(cluster_.uid_of("digits-worker-1"), failed);
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.status().restarts, 1) << "it counts";
  EXPECT_EQ(cluster_.status().disruptions, 0) << "its absence in between is none";
  EXPECT_TRUE(cluster_.is("PodsReady"));
  for (const char* name : {"digits-worker-0", "digits-worker-1", "digits-worker-2"})
    cluster_.end_pod(name, 0);
  cluster_.settle();
  EXPECT_TRUE(cluster_.is("Succeeded"));
}

TEST_F(RestartPod, IsCountedToTheLimit) {
  for (int time = 0; time < 3; ++time) {
    ASSERT_FALSE(cluster_.is("Failed")) << time;
    cluster_.end_pod("digits-worker-1", 7);
    cluster_.settle();
    cluster_.finish_deletions();
    cluster_.advance(std::chrono::minutes(6));  // past every backoff
    cluster_.bring_up();
  }
  ASSERT_TRUE(cluster_.is("Failed"));
  EXPECT_EQ(cluster_.condition("Failed")->reason, "MaxRestartsExceeded");
}

TEST(SuccessPolicy, Rank0DecidesForAProgramOfTheUsersOwn) {
  ClusterModel cluster(job().workers(3).plain().set("/spec/successPolicy", "Rank0").json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", 0);
  cluster.settle();
  EXPECT_FALSE(cluster.is("Succeeded"));
  cluster.end_pod("digits-worker-0", 0);
  cluster.settle();
  EXPECT_TRUE(cluster.is("Succeeded"));
}

TEST(ManagedBy, AnObjectOfAnotherControllerIsLeftAlone) {
  ClusterModel cluster(job().set("/spec/managedBy", "kueue.x-k8s.io/multikueue").json());
  EXPECT_EQ(cluster.pass(), 0U);
  EXPECT_EQ(cluster.status_writes, 0);
  EXPECT_TRUE(cluster.pods.empty());
}

TEST(ManagedBy, EvenOneThatThisOperatorCannotRead) {
  ClusterModel cluster(
      job().set("/spec/managedBy", "example.com/next").set("/spec/ofTheNextRelease", 1).json());
  EXPECT_EQ(cluster.pass(), 0U);
  EXPECT_EQ(cluster.status_writes, 0);
}

}  // namespace
}  // namespace muster::op::testing
