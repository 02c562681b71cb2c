// How many pods a ReplicaSet lacks, which are too many, and what its status says.
#include "local/workloads/replica_set.h"

#include <gtest/gtest.h>

#include "common/base/rfc3339.h"
#include "local/workloads/owners.h"

namespace muster::local {
namespace {

using Names = std::vector<std::string>;

const WallTime kNow = clock_time(1'800'000'000);
std::string ago(int seconds) { return rfc3339(kNow - std::chrono::seconds(seconds)); }

Json replica_set(std::int64_t replicas) {
  return {{"metadata", {{"name", "rs"}, {"namespace", "default"}, {"uid", "u1"}, {"generation", 3}}},
          {"spec",
           {{"replicas", replicas},
            {"selector", {{"matchLabels", {{"app", "x"}}}}},
            {"template",
             {{"metadata", {{"labels", {{"app", "x"}}}}}, {"spec", {{"containers", Json::array()}}}}}}}};
}

Json pod(const std::string& name, int created_ago = 100) {
  return {{"metadata",
           {{"name", name},
            {"creationTimestamp", ago(created_ago)},
            {"ownerReferences", Json::array({controller_reference(replica_set(1), "ReplicaSet")})}}},
          {"spec", {{"nodeName", "n"}}},
          {"status", {{"phase", "Running"}}}};
}

Json ready(Json pod, int since_ago = 50) {
  pod["status"]["conditions"] =
      Json::array({{{"type", "Ready"}, {"status", "True"}, {"lastTransitionTime", ago(since_ago)}}});
  return pod;
}

ReplicaSetPlan plan(const Json& set, const std::vector<Json>& pods, const std::string& failure = "") {
  return plan_replica_set(set, pods, failure, kNow);
}

TEST(ReplicaSet, CreatesWhatIsMissingByItsTemplate) {
  EXPECT_EQ(plan(replica_set(3), {pod("a")}).create, 2);
  const Json made = pod_of(replica_set(3));
  EXPECT_EQ(made["metadata"]["generateName"], "rs-");
  EXPECT_EQ(made["metadata"]["labels"]["app"], "x");
  EXPECT_TRUE(controls(replica_set(3), made));
}

TEST(ReplicaSet, PodsThatEndedOrGoCountNoMore) {
  Json ended = pod("ended");
  ended["status"]["phase"] = "Failed";
  Json leaving = ready(pod("leaving"));
  leaving["metadata"]["deletionTimestamp"] = ago(1);
  const ReplicaSetPlan next = plan(replica_set(2), {ended, leaving, ready(pod("good"))});
  EXPECT_EQ(next.create, 1);
  EXPECT_EQ(next.status, (Json{{"replicas", 1},
                               {"fullyLabeledReplicas", 1},
                               {"readyReplicas", 1},
                               {"availableReplicas", 1},
                               {"observedGeneration", 3}}));
}

TEST(ReplicaSet, TakesPodsWithoutAControllerAndLeavesOthersAlone) {
  Json orphan = pod("orphan");
  orphan["metadata"].erase("ownerReferences");
  Json foreign = pod("foreign");
  foreign["metadata"]["ownerReferences"][0]["uid"] = "other";
  const ReplicaSetPlan next = plan(replica_set(1), {orphan, foreign});
  EXPECT_EQ(next.adopt, Names{"orphan"});
  EXPECT_EQ(next.create, 0);
}

TEST(ReplicaSet, RemovesTheLeastUsefulFirst) {
  Json unbound = pod("unbound");
  unbound["spec"].erase("nodeName");
  unbound["status"]["phase"] = "Pending";
  Json restarted = ready(pod("restarted"));
  restarted["status"]["containerStatuses"] = Json::array({{{"restartCount", 4}}});
  const std::vector<Json> pods{ready(pod("old", 200)),
                               ready(pod("new", 60)),
                               ready(pod("late"), 10),
                               ready(pod("steady", 300), 50),
                               restarted,
                               pod("unready"),
                               unbound};
  EXPECT_EQ(plan(replica_set(0), pods).remove,
            (Names{"unbound", "unready", "late", "restarted", "new", "old", "steady"}));
  EXPECT_EQ(plan(replica_set(6), pods).remove, Names{"unbound"});
}

TEST(ReplicaSet, APodIsAvailableAfterMinReadySeconds) {
  Json set = replica_set(1);
  set["spec"]["minReadySeconds"] = 30;
  const ReplicaSetPlan early = plan(set, {ready(pod("a"), 10)});
  EXPECT_EQ(integer(member(early.status, "readyReplicas")), 1);
  EXPECT_FALSE(early.status.contains("availableReplicas"));
  EXPECT_EQ(early.again, kNow + std::chrono::seconds(20));
  EXPECT_EQ(integer(member(plan(set, {ready(pod("a"), 30)}).status, "availableReplicas")), 1);
}

TEST(ReplicaSet, SaysWhyPodsCannotBeCreatedAsLongAsTheyAreMissing) {
  const ReplicaSetPlan next = plan(replica_set(1), {}, "no such account");
  ASSERT_TRUE(next.status.contains("conditions"));
  EXPECT_EQ(next.status["conditions"][0]["type"], "ReplicaFailure");
  EXPECT_EQ(next.status["conditions"][0]["message"], "no such account");
  EXPECT_FALSE(plan(replica_set(1), {pod("a")}, "no such account").status.contains("conditions"));
}

TEST(ReplicaSet, OneThatIsBeingDeletedDoesNothing) {
  Json set = replica_set(5);
  set["metadata"]["deletionTimestamp"] = ago(1);
  const ReplicaSetPlan next = plan(set, {pod("a")});
  EXPECT_EQ(next.create, 0);
  EXPECT_EQ(next.remove, Names{});
}

}  // namespace
}  // namespace muster::local
