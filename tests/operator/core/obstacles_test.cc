// tests/operator/core/obstacles_test.cc: what keeps an object's children from being made: names that are
// taken, refusals, and specs that cannot work, also once they are mended
#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

TEST(Obstacles, ANameTakenBySomethingElseIsToldAndNotTouched) {
  ClusterModel cluster(job().plain().json());
  cluster.service = ServiceState::kForeign;
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty());
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "NameConflict");
  EXPECT_EQ(cluster.count_events("NameConflict"), 1);
  EXPECT_GT(cluster.decide().requeue_after, 1s);
}

TEST(Obstacles, APredecessorsChildrenAreWaitedForWithoutAWarning) {
  ClusterModel cluster(job().plain().json());
  cluster.service = ServiceState::kPredecessors;
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty());
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "WaitingForPredecessor");
  EXPECT_TRUE(cluster.events.empty());
  EXPECT_LE(cluster.decide().requeue_after, 2s);
}

TEST(Obstacles, ARefusedCreateIsToldAndTheDeadlineRuns) {
  ClusterModel cluster(job().active_deadline(60).json());
  cluster.obstacle = Obstacle{Obstacle::Kind::kRefused, "exceeded quota: pods"};
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty()) << "no create while the refusal is fresh";
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "FailedCreate");
  EXPECT_EQ(cluster.condition("PodsReady")->message, "exceeded quota: pods");
  EXPECT_EQ(cluster.count_events("FailedCreate"), 1);
  EXPECT_LE(cluster.decide().requeue_after, 30s);
  cluster.advance(60s);
  cluster.pass();
  EXPECT_EQ(cluster.condition("Failed")->reason, "DeadlineExceeded");
}

TEST(Obstacles, APodOfWhichNoSchedulerSaysAWordIsToldAfterHalfAMinute) {
  ClusterModel cluster(job().workers(2).json());
  cluster.settle();
  Json& pod = cluster.pods.at("digits-worker-1");
  const auto told = [&cluster] {
    cluster.settle();
    return *cluster.condition("PodsReady");
  };
  EXPECT_EQ(told().reason, "WaitingForPods");
  EXPECT_LE(cluster.decide().requeue_after, 30s);
  cluster.advance(30s);
  EXPECT_EQ(told().reason, "WaitingForScheduler");
  EXPECT_THAT(told().message, HasSubstr("digits-worker-0: no scheduler has said anything of it: does "
                                        "scheduler default-scheduler run?"));
  cluster.pods.at("digits-worker-0")["spec"]["nodeName"] = "n-1";
  pod["spec"]["schedulerName"] = "volcano";
  pod["spec"]["resourceClaims"] = Json::array({{{"name", "gpu"}, {"resourceClaimTemplateName", "one-gpu"}},
                                               {{"name", "nic"}, {"resourceClaimTemplateName", "one-nic"}},
                                               {{"name", "all"}, {"resourceClaimName", "shared"}}});
  pod["status"]["resourceClaimStatuses"] = Json::array({{{"name", "gpu"}, {"resourceClaimName", "g-1"}}});
  EXPECT_THAT(told().message, HasSubstr("does scheduler volcano run, and is there ResourceClaimTemplate "
                                        "one-nic, ResourceClaim shared?"));
  pod["status"]["conditions"] = Json::array({{{"type", "PodScheduled"}, {"status", "False"}}});
  EXPECT_EQ(told().reason, "WaitingForPods");
}

TEST(Obstacles, RefusedCreatesAreTriedAgainEverMoreSeldom) {
  ClusterModel cluster(job().json());
  std::vector<std::chrono::milliseconds> pauses;
  for (const int refusals : {1, 2, 5, 9, 1000}) {
    cluster.obstacle =
        Obstacle{.kind = Obstacle::Kind::kRefused, .message = "exceeded quota: pods", .refusals = refusals};
    cluster.settle();
    pauses.push_back(cluster.decide().requeue_after);
  }
  EXPECT_EQ(pauses, (std::vector<std::chrono::milliseconds>{1s, 2s, 16s, 240s, 240s}));
  EXPECT_EQ(cluster.count_events("FailedCreate"), 1);
}

TEST(Obstacles, AfterTheRefusalHasExpiredTheMissingPodsAreCreated) {
  ClusterModel cluster(job().json());
  cluster.obstacle = Obstacle{Obstacle::Kind::kRefused, "exceeded quota: pods"};
  cluster.settle();
  cluster.obstacle.reset();
  cluster.bring_up();
  EXPECT_EQ(cluster.status().phase, "Running");
}

TEST(Obstacles, ATemplateThatTheApiServerCannotTakeFailsTheJobBeforeAnythingRan) {
  ClusterModel cluster(job().json());
  cluster.obstacle = Obstacle{Obstacle::Kind::kInvalid, "volumeMounts[0].name: Not found: \"data\""};
  cluster.settle();
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->reason, "InvalidSpec");
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("Not found: \"data\""));
}

TEST(Obstacles, ARunThatHasWorkedBeforeOutlivesAnInvalidCreate) {
  ClusterModel cluster(job().json());
  cluster.bring_up();
  cluster.evict("digits-worker-1");
  cluster.settle();
  cluster.finish_deletions();
  cluster.obstacle = Obstacle{Obstacle::Kind::kInvalid, "runtimeClassName: not found"};
  cluster.settle();
  EXPECT_FALSE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "FailedCreate");
}

TEST(Obstacles, AnInvalidSpecFailsWithTheFieldsPath) {
  ClusterModel cluster(job().set("/spec/training/epoch", 3).json());
  cluster.settle();
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->reason, "InvalidSpec");
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("spec.training.epoch: unknown field"));
  ASSERT_NE(cluster.condition("PodsReady"), nullptr) << "kubectl get shows its reason";
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "InvalidSpec");
  EXPECT_TRUE(cluster.pods.empty());
}

TEST(Obstacles, ARunningJobIsNotKilledByASpecThatThisOperatorCannotRead) {
  ClusterModel cluster(job().json());
  cluster.bring_up();
  cluster.object["spec"]["newField"] = 1;
  cluster.settle();
  EXPECT_FALSE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Initialized")->reason, "InvalidSpec");
  EXPECT_EQ(cluster.pods.size(), 4U);
  EXPECT_EQ(cluster.count_events("InvalidSpec"), 1);
}

TEST(Obstacles, ATooLongNameIsRefused) {
  ClusterModel cluster(job(std::string(51, 'a')).json());
  cluster.settle();
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("at most 50"));
}

void edit(ClusterModel& cluster, const char* pointer, Json value) {
  cluster.object[Json::json_pointer(pointer)] = std::move(value);
  cluster.object["metadata"]["generation"] = cluster.object["metadata"]["generation"].get<int>() + 1;
}

TEST(Obstacles, AnInvalidSpecThatIsMendedRuns) {
  ClusterModel cluster(job().set("/spec/training/checkpoint", {{"path", "/nowhere"}}).json());
  cluster.settle();
  ASSERT_EQ(cluster.condition("Failed")->reason, "InvalidSpec");
  edit(cluster, "/spec/training/checkpoint/path", "/elsewhere");
  cluster.settle();
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("/elsewhere")) << "it was looked at again";
  edit(cluster, "/spec/training", job().json()["spec"]["training"]);
  cluster.bring_up();
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_FALSE(cluster.is("Failed"));
  EXPECT_FALSE(cluster.status().completion_time);
  EXPECT_TRUE(cluster.status().start_time);
  EXPECT_EQ(cluster.count_events("SpecChanged"), 2);
}

TEST(Obstacles, ATemplateThatIsMendedRunsWithoutThePodsOfTheFirst) {
  ClusterModel cluster(job().workers(2).json());
  cluster.pass();
  const std::string first = cluster.uid_of("digits-worker-0");
  cluster.pods.erase("digits-worker-1");  // it was never made
  cluster.object["status"]["formedIncarnation"] = 0;
  cluster.obstacle = Obstacle{Obstacle::Kind::kInvalid, "volumeMounts[0].name: Not found: \"data\""};
  cluster.pass();
  ASSERT_EQ(cluster.condition("Failed")->reason, "InvalidSpec");
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("looked at again when it is changed"));
  cluster.obstacle.reset();
  cluster.settle();
  EXPECT_TRUE(cluster.is("Failed")) << "until it is edited";
  edit(cluster, "/spec/workers/template/metadata/labels/mended", "yes");
  cluster.settle();
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_NE(cluster.uid_of("digits-worker-0"), first);
  EXPECT_EQ(cluster.status().restarts, 0);
}

TEST(Obstacles, ATemplateThatIsMendedBadlyIsRefusedAgain) {
  ClusterModel cluster(job().json());
  cluster.pass();
  cluster.object["status"]["formedIncarnation"] = 0;
  cluster.obstacle = Obstacle{Obstacle::Kind::kInvalid, "volumeMounts[0].name: Not found: \"data\""};
  cluster.pass();
  ASSERT_EQ(cluster.condition("Failed")->reason, "InvalidSpec");
  cluster.obstacle.reset();
  edit(cluster, "/spec/training/epoch", 3);
  cluster.settle();
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.status().phase, "Failed");
  EXPECT_THAT(cluster.condition("Failed")->message, HasSubstr("spec.training.epoch: unknown field"));
}

TEST(Obstacles, WhatHasRunStaysFailedWhateverIsEdited) {
  ClusterModel cluster(job().max_restarts(0).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", 1);
  cluster.settle();
  ASSERT_TRUE(cluster.is("Failed"));
  edit(cluster, "/spec/runPolicy/maxRestarts", 3);
  cluster.settle();
  EXPECT_TRUE(cluster.is("Failed"));
}

// Whether each create of the next pass is strict.
std::vector<bool> strict_creates(const ClusterModel& cluster) {
  std::vector<bool> strict;
  for (const Action& action : cluster.decide().actions)
    if (const auto* create = std::get_if<CreatePod>(&action)) strict.push_back(create->strict);
  return strict;
}

TEST(Obstacles, AFieldThatIsMisspeltInATemplateThatWasChangedIsRefusedToo) {
  ClusterModel cluster(job().workers(2).json());
  EXPECT_EQ(strict_creates(cluster), (std::vector<bool>{true, true}));
  cluster.bring_up();
  edit(cluster, "/spec/suspend", true);
  cluster.settle();
  cluster.finish_deletions();
  cluster.settle();
  edit(cluster, "/spec/suspend", false);
  cluster.pass();
  cluster.pods.clear();
  EXPECT_EQ(strict_creates(cluster), (std::vector<bool>{true, true})) << "it may have been edited meanwhile";
  cluster.bring_up();
  cluster.advance(10s);
  cluster.evict("digits-worker-1");
  cluster.settle();
  cluster.finish_deletions();
  EXPECT_EQ(strict_creates(cluster), std::vector<bool>{false}) << "it has worked";
}

}  // namespace
}  // namespace muster::op::testing
