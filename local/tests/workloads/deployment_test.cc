// A Deployment's rolling update, step by step, against ReplicaSets that are values.
#include "local/workloads/deployment.h"

#include <gtest/gtest.h>

#include <map>

#include "common/base/rfc3339.h"
#include "local/workloads/owners.h"

namespace muster::local {
namespace {

class Cluster {
 public:
  Cluster(std::int64_t replicas, Json surge, Json unavailable) {
    deployment = {
        {"metadata",
         {{"name", "d"},
          {"namespace", "default"},
          {"uid", "u"},
          {"generation", 1},
          {"annotations", {{"note", "kept"}, {"kubectl.kubernetes.io/last-applied-configuration", "{}"}}}}},
        {"spec",
         {{"replicas", replicas},
          {"selector", {{"matchLabels", {{"app", "x"}}}}},
          {"progressDeadlineSeconds", 600},
          {"revisionHistoryLimit", 1},
          {"strategy",
           {{"type", "RollingUpdate"},
            {"rollingUpdate", {{"maxSurge", std::move(surge)}, {"maxUnavailable", std::move(unavailable)}}}}},
          {"template", {{"metadata", {{"labels", {{"app", "x"}}}}}, {"spec", {{"image", "1"}}}}}}}};
  }

  void change_image(const std::string& image) {
    deployment["spec"]["template"]["spec"]["image"] = image;
    touched();
  }
  void scale(std::int64_t replicas) {
    deployment["spec"]["replicas"] = replicas;
    touched();
  }

  // One step; true if it changed anything.
  bool step() {
    std::vector<Json> owned;
    for (const auto& [name, set] : sets) owned.push_back(set);
    plan = plan_deployment(deployment, owned, now);
    bool changed = plan.status != member(deployment, "status");
    if (plan.create) {
      Json& set = sets[name_of(*plan.create)] = *plan.create;
      set["metadata"]["uid"] = name_of(set);
      set["metadata"]["creationTimestamp"] = rfc3339(now);
      changed = true;
    }
    for (const Scaling& each : plan.scale) {
      sets.at(each.replica_set)["spec"]["replicas"] = each.to;
      changed = true;
    }
    for (const std::string& name : plan.remove) changed = sets.erase(name) > 0 || changed;
    if (!plan.current.empty()) sets.at(plan.current)["metadata"]["annotations"][kRevision] = plan.revision;
    deployment["status"] = plan.status;
    for (auto& [name, set] : sets) {  // pods go at once, and come without being ready
      const std::int64_t pods = integer(member(set, "spec", "replicas"));
      set["status"]["replicas"] = pods;
      set["status"]["availableReplicas"] =
          std::min(pods, integer(member(set, "status", "availableReplicas")));
      set["status"]["readyReplicas"] = set["status"]["availableReplicas"];
    }
    now += std::chrono::seconds(1);
    return changed;
  }
  // One more pod gets ready; false if all are.
  bool one_more_is_ready() {
    for (auto& [name, set] : sets) {
      std::int64_t available = integer(member(set, "status", "availableReplicas"));
      if (available >= integer(member(set, "status", "replicas")) || name == stuck) continue;
      set["status"]["availableReplicas"] = set["status"]["readyReplicas"] = available + 1;
      return true;
    }
    return false;
  }
  void settle() {
    for (int i = 0; i < 100; ++i) {
      while (step()) check_bounds();
      if (!one_more_is_ready()) return;
    }
    FAIL() << "does not settle";
  }
  [[nodiscard]] std::int64_t total(const char* part, const char* count) const {
    std::int64_t out = 0;
    for (const auto& [name, set] : sets) out += integer(member(set, part, count));
    return out;
  }
  void check_bounds() const {
    EXPECT_LE(total("spec", "replicas"), pods_max) << deployment["status"];
    EXPECT_GE(total("status", "availableReplicas"), available_min) << deployment["status"];
  }
  [[nodiscard]] Json condition(const char* type) const {
    return condition_of(member(deployment, "status"), type);
  }
  [[nodiscard]] std::string reason() const { return text(member(condition("Progressing"), "reason")); }
  [[nodiscard]] const Json& current() const { return sets.at(plan.current); }

  Json deployment;
  std::map<std::string, Json> sets;
  DeploymentPlan plan;
  WallTime now = clock_time(1'800'000'000);
  std::string stuck;  // the ReplicaSet whose pods do not get ready
  std::int64_t pods_max = 1000, available_min = 0;

 private:
  void touched() {
    deployment["metadata"]["generation"] = integer(member(deployment, "metadata", "generation")) + 1;
  }
};

TEST(Deployment, CreatesTheReplicaSetOfItsTemplate) {
  Cluster cluster(2, 1, 0);
  EXPECT_TRUE(cluster.step());
  ASSERT_EQ(cluster.sets.size(), 1u);
  const Json set = cluster.sets.begin()->second;
  const std::string hash = set["metadata"]["labels"][kTemplateHash];
  EXPECT_EQ(name_of(set), "d-" + hash);
  EXPECT_EQ(set["spec"]["selector"]["matchLabels"], (Json{{"app", "x"}, {kTemplateHash, hash}}));
  EXPECT_EQ(set["spec"]["template"]["metadata"]["labels"][kTemplateHash], hash);
  EXPECT_EQ(set["metadata"]["annotations"], (Json{{"note", "kept"}, {kRevision, "1"}}));
  EXPECT_EQ(set["spec"]["replicas"], 2);
  EXPECT_TRUE(controls(cluster.deployment, set));
  EXPECT_EQ(cluster.reason(), "NewReplicaSetCreated");
  EXPECT_EQ(cluster.condition("Available")["status"], "False");
  cluster.settle();
  EXPECT_EQ(cluster.reason(), "NewReplicaSetAvailable");
  EXPECT_EQ(cluster.condition("Available")["status"], "True");
  Json status = cluster.deployment["status"];
  status.erase("conditions");
  EXPECT_EQ(status, (Json{{"observedGeneration", 1},
                          {"replicas", 2},
                          {"updatedReplicas", 2},
                          {"readyReplicas", 2},
                          {"availableReplicas", 2}}));
  EXPECT_FALSE(cluster.step()) << "a second pass over the same state writes nothing";
}

TEST(Deployment, RollsWithinTheBoundsOfItsStrategy) {
  struct Case {
    std::int64_t replicas;
    Json surge, unavailable;
    std::int64_t pods_max, available_min;
  };
  for (const Case& each : {Case{2, 1, 0, 3, 2}, Case{2, 0, 1, 2, 1}, Case{10, "25%", "25%", 13, 8},
                           Case{1, "25%", "25%", 2, 1}, Case{4, "0%", "1%", 4, 3}, Case{3, 5, 3, 8, 0}}) {
    Cluster cluster(each.replicas, each.surge, each.unavailable);
    cluster.settle();
    cluster.pods_max = each.pods_max;
    cluster.available_min = each.available_min;
    const std::string before = cluster.plan.current;
    cluster.change_image("2");
    cluster.settle();
    EXPECT_NE(cluster.plan.current, before);
    EXPECT_EQ(cluster.total("spec", "replicas"), each.replicas);
    EXPECT_EQ(cluster.current()["spec"]["replicas"], each.replicas);
    EXPECT_EQ(cluster.reason(), "NewReplicaSetAvailable");
    EXPECT_EQ(cluster.plan.revision, "2");
  }
}

TEST(Deployment, ABrokenTemplateStopsAtTheBoundAndTheDeadlineSaysSo) {
  Cluster cluster(4, 1, 1);
  cluster.settle();
  cluster.available_min = 3;
  cluster.change_image("broken");
  while (cluster.step() && cluster.sets.size() < 2) {
  }
  for (const auto& [name, set] : cluster.sets)
    if (set["spec"]["template"]["spec"]["image"] == "broken") cluster.stuck = name;
  cluster.settle();
  EXPECT_EQ(cluster.total("status", "availableReplicas"), 3);
  EXPECT_EQ(cluster.reason(), "ReplicaSetUpdated");
  ASSERT_TRUE(cluster.plan.again);
  cluster.now = *cluster.plan.again;
  cluster.settle();
  EXPECT_EQ(cluster.reason(), "ProgressDeadlineExceeded");
  EXPECT_EQ(cluster.condition("Progressing")["status"], "False");
  // Back to what ran before: its ReplicaSet is taken again, with a new revision.
  cluster.change_image("1");
  cluster.settle();
  EXPECT_EQ(cluster.reason(), "NewReplicaSetAvailable");
  EXPECT_EQ(cluster.plan.revision, "3");
  EXPECT_EQ(cluster.current()["metadata"]["annotations"][kRevision], "3");
}

TEST(Deployment, ScalesWithoutANewReplicaSetAndToNothing) {
  Cluster cluster(2, 1, 0);
  cluster.settle();
  cluster.scale(5);
  cluster.settle();
  EXPECT_EQ(cluster.sets.size(), 1u);
  EXPECT_EQ(cluster.total("status", "availableReplicas"), 5);
  cluster.scale(0);
  cluster.settle();
  EXPECT_EQ(cluster.total("spec", "replicas"), 0);
  EXPECT_EQ(cluster.condition("Available")["status"], "True");
}

TEST(Deployment, KeepsOnlySoManyOldReplicaSets) {
  Cluster cluster(1, 1, 0);
  for (const char* image : {"1", "2", "3", "4"}) {
    cluster.change_image(image);
    cluster.settle();
  }
  EXPECT_EQ(cluster.sets.size(), 2u);  // the present one, and revisionHistoryLimit
  EXPECT_EQ(cluster.plan.revision, "4");
}

TEST(Deployment, SaysWhyItsPodsCannotBeCreated) {
  Cluster cluster(1, 1, 0);
  cluster.step();
  auto& set = cluster.sets.begin()->second;
  set["status"]["conditions"] = Json::array({{{"type", "ReplicaFailure"},
                                              {"status", "True"},
                                              {"reason", "FailedCreate"},
                                              {"message", "no account"}}});
  cluster.step();
  EXPECT_EQ(cluster.condition("ReplicaFailure")["message"], "no account");
  set["status"].erase("conditions");
  cluster.step();
  EXPECT_TRUE(cluster.condition("ReplicaFailure").is_null());
}

TEST(Deployment, AnotherHashIsTriedWhenTheNameIsTaken) {
  Cluster cluster(1, 1, 0);
  const std::string first = name_of(*plan_deployment(cluster.deployment, {}, cluster.now).create);
  cluster.deployment["status"]["collisionCount"] = 1;
  const DeploymentPlan next = plan_deployment(cluster.deployment, {}, cluster.now);
  EXPECT_NE(name_of(*next.create), first);
  EXPECT_EQ(next.status["collisionCount"], 1);
}

TEST(Deployment, OneThatIsBeingDeletedDoesNothing) {
  Cluster cluster(1, 1, 0);
  cluster.deployment["metadata"]["deletionTimestamp"] = rfc3339(cluster.now);
  EXPECT_FALSE(plan_deployment(cluster.deployment, {}, cluster.now).create);
}

}  // namespace
}  // namespace muster::local
