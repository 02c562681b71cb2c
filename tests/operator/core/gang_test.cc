// tests/operator/core/gang_test.cc: groups of pods that are placed together: whose, when they are made, when
// they go, and what is told of them
#include "operator/core/gang.h"

#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;

ServedApi served(const char* group, const char* version, const char* plural, const char* kind) {
  return {.kind = ApiKind{group, version, plural, kind}, .refusal = {}};
}
const ServedApi kNative37 = served("scheduling.k8s.io", "v1beta1", "podgroups", "PodGroup");
const ServedApi kNative36 = served("scheduling.k8s.io", "v1alpha2", "podgroups", "PodGroup");
const ServedApi kNative35 = served("scheduling.k8s.io", "v1alpha1", "workloads", "Workload");
const ServedApi kPlugins = served("scheduling.x-k8s.io", "v1alpha1", "podgroups", "PodGroup");
const ServedApi kVolcano = served("scheduling.volcano.sh", "v1beta1", "podgroups", "PodGroup");

using Place = ServedApi SchedulingSeen::*;
ClusterModel cluster_with(const Json& object, Place place, const ServedApi& api) {
  ClusterModel cluster(object);
  cluster.scheduling.known = true;
  if (place != nullptr) cluster.scheduling.*place = api;
  return cluster;
}

JobBuilder gang(const std::string& choice) { return job().set("/spec/scheduling/gang", choice); }

TEST(Gang, ItsGroupIsMadeBeforeThePodsAndOwnedByTheObject) {
  ClusterModel cluster = cluster_with(job().json(), &SchedulingSeen::native, kNative37);
  const Decision decision = cluster.decide();
  std::size_t group = 0, pod = 0;
  for (std::size_t i = 0; i < decision.actions.size(); ++i) {
    if (std::holds_alternative<CreateChild>(decision.actions[i])) group = i + 1;
    if (pod == 0 && std::holds_alternative<CreatePod>(decision.actions[i])) pod = i + 1;
  }
  EXPECT_GT(group, 0U);
  EXPECT_LT(group, pod);
  cluster.settle();
  EXPECT_EQ(cluster.group["metadata"]["name"], "digits");
  EXPECT_EQ(cluster.group["metadata"]["ownerReferences"][0]["uid"], "job-uid");
  EXPECT_EQ(cluster.group["metadata"]["labels"]["app.kubernetes.io/managed-by"], "muster");
  EXPECT_EQ(cluster.status().gang, "Native");
}

TEST(Gang, OfKubernetes37AndAlso36IsAPodGroupThatPodsNameInTheirSpec) {
  for (const ServedApi& api : {kNative37, kNative36}) {
    ClusterModel cluster = cluster_with(job().json(), &SchedulingSeen::native, api);
    cluster.settle();
    EXPECT_EQ(cluster.group["apiVersion"], "scheduling.k8s.io/" + api.kind->version);
    EXPECT_EQ(cluster.group["kind"], "PodGroup");
    EXPECT_EQ(cluster.group["spec"], Json::parse(R"({"schedulingPolicy": {"gang": {"minCount": 4}}})"));
    for (const auto& [name, pod] : cluster.pods)
      EXPECT_EQ(pod["spec"]["schedulingGroup"], Json::parse(R"({"podGroupName": "digits"})")) << name;
  }
}

JobBuilder served(const std::string& choice) {
  return gang(choice).workers(2).set(
      "/spec/synchronization",
      {{"topology", "ParameterServer"},
       {"parameterServers", {{"shards", 2}, {"template", {{"spec", Json::object()}}}}}});
}

TEST(GangWithServers, TheyAreMembersAndCounted) {
  ClusterModel native = cluster_with(served("Auto").json(), &SchedulingSeen::native, kNative37);
  native.settle();
  EXPECT_EQ(native.group["spec"]["schedulingPolicy"]["gang"]["minCount"], 4);
  ASSERT_EQ(native.pods.size(), 4U);
  for (const auto& [name, pod] : native.pods)
    EXPECT_EQ(pod["spec"]["schedulingGroup"]["podGroupName"], "digits") << name;
}

TEST(GangWithServers, TheyHaveTheWorkersScheduler) {
  for (const char* scheduler : {"volcano", "scheduler-plugins-scheduler"}) {
    const bool volcano = std::string(scheduler) == "volcano";
    ClusterModel cluster =
        cluster_with(served("Auto").set("/spec/workers/template/spec/schedulerName", scheduler).json(),
                     volcano ? &SchedulingSeen::volcano : &SchedulingSeen::scheduler_plugins,
                     volcano ? kVolcano : kPlugins);
    cluster.settle();
    EXPECT_EQ(cluster.group["spec"]["minMember"], 4) << scheduler;
    ASSERT_EQ(cluster.pods.size(), 4U);
    for (const auto& [name, pod] : cluster.pods) EXPECT_EQ(pod["spec"]["schedulerName"], scheduler) << name;
  }
}

TEST(GangWithServers, TheirReplacementIsNoMemberAndHasTheWorkersScheduler) {
  ClusterModel cluster =
      cluster_with(served("Auto").set("/spec/workers/template/spec/schedulerName", "volcano").json(),
                   &SchedulingSeen::volcano, kVolcano);
  cluster.bring_up();
  cluster.evict("digits-server-1");
  cluster.settle();
  cluster.finish_deletions();
  cluster.settle();
  const Json& pod = cluster.pods.at("digits-server-1");
  EXPECT_EQ(pod["spec"]["schedulerName"], "volcano");
  EXPECT_FALSE(pod["metadata"].value("annotations", Json::object()).contains("scheduling.k8s.io/group-name"));
}

constexpr const char* kServersScheduler =
    "/spec/synchronization/parameterServers/template/spec/schedulerName";
constexpr const char* kWorkersScheduler = "/spec/workers/template/spec/schedulerName";

TEST(GangWithServers, AnotherSchedulerThanTheWorkersIsRefusedWhereAGroupIsMade) {
  const Json object = served("Auto").set(kServersScheduler, "volcano").json();
  ClusterModel cluster = cluster_with(object, &SchedulingSeen::native, kNative37);
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty());
  EXPECT_TRUE(cluster.group.is_null());
  EXPECT_FALSE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("GangScheduled")->reason, "SchedulersDiffer");
  EXPECT_THAT(cluster.condition("PodsReady")->message,
              HasSubstr("schedulerName: is volcano, and that of the workers is default-scheduler"));
  cluster.object["spec"]["scheduling"]["gang"] = "None";
  cluster.settle();
  EXPECT_EQ(cluster.pods.at("digits-server-0")["spec"]["schedulerName"], "volcano");
}

TEST(GangWithServers, AnotherSchedulerIsNobodysBusinessWhereNoGroupIsMade) {
  for (const char* choice : {"Auto", "None"}) {
    ClusterModel cluster = cluster_with(served(choice).set(kServersScheduler, "volcano").json(), nullptr, {});
    cluster.settle();
    ASSERT_EQ(cluster.pods.size(), 4U) << choice;
    EXPECT_EQ(cluster.pods.at("digits-server-0")["spec"]["schedulerName"], "volcano");
  }
}

TEST(GangWithServers, AJobThatRunsIsNotAskedForOneScheduler) {
  ClusterModel cluster = cluster_with(served("Auto").set(kServersScheduler, "volcano").json(), nullptr, {});
  cluster.bring_up();
  cluster.scheduling.native = kNative37;
  cluster.evict("digits-worker-1");
  cluster.settle();
  cluster.finish_deletions();
  cluster.advance(std::chrono::minutes(1));
  cluster.settle();
  EXPECT_TRUE(cluster.pods.contains("digits-worker-1"));
}

TEST(GangWithServers, AnEmptyNameIsNone) {
  ClusterModel cluster =
      cluster_with(served("Auto").set(kServersScheduler, "").set(kWorkersScheduler, "mine").json(),
                   &SchedulingSeen::scheduler_plugins, kPlugins);
  cluster.settle();
  ASSERT_EQ(cluster.pods.size(), 4U);
  EXPECT_EQ(cluster.pods.at("digits-server-0")["spec"]["schedulerName"], "mine");
  ClusterModel usual = cluster_with(
      served("Auto").set(kServersScheduler, "default-scheduler").set(kWorkersScheduler, "").json(),
      &SchedulingSeen::native, kNative37);
  usual.settle();
  EXPECT_EQ(usual.pods.size(), 4U);
  EXPECT_EQ(usual.status().gang, "Native");
}

TEST(Gang, OfKubernetes37HasThePriorityOfItsPods) {
  ClusterModel cluster =
      cluster_with(job().set("/spec/workers/template/spec/priorityClassName", "high").json(),
                   &SchedulingSeen::native, kNative37);
  cluster.settle();
  EXPECT_EQ(cluster.group["spec"]["priorityClassName"], "high");
}

TEST(Gang, OfKubernetes35IsAWorkloadWithTheGroupInIt) {
  ClusterModel cluster = cluster_with(job().json(), &SchedulingSeen::native, kNative35);
  cluster.settle();
  EXPECT_EQ(cluster.group["apiVersion"], "scheduling.k8s.io/v1alpha1");
  EXPECT_EQ(cluster.group["kind"], "Workload");
  EXPECT_EQ(cluster.group["spec"], Json::parse(R"({
    "controllerRef": {"apiGroup": "muster.dev", "kind": "DistributedJob", "name": "digits"},
    "podGroups": [{"name": "workers", "policy": {"gang": {"minCount": 4}}}]})"));
  EXPECT_EQ(cluster.pods.at("digits-worker-3")["spec"]["workloadRef"],
            Json::parse(R"({"name": "digits", "podGroup": "workers"})"));
}

TEST(Gang, OfSchedulerPluginsIsNamedByALabelAndLeavesTheSchedulerToTheTemplate) {
  ClusterModel cluster = cluster_with(job().json(), &SchedulingSeen::scheduler_plugins, kPlugins);
  cluster.settle();
  EXPECT_EQ(cluster.group["apiVersion"], "scheduling.x-k8s.io/v1alpha1");
  EXPECT_EQ(cluster.group["spec"], Json::parse(R"({"minMember": 4})"));
  const Json& pod = cluster.pods.at("digits-worker-0");
  EXPECT_EQ(pod["metadata"]["labels"]["scheduling.x-k8s.io/pod-group"], "digits");
  EXPECT_FALSE(pod["spec"].contains("schedulerName"));
}

TEST(Gang, OfVolcanoSetsTheSchedulerAndTakesQueueAndPriorityFromTheTemplate) {
  const Json object = gang("Volcano")
                          .set("/spec/workers/template/metadata/annotations",
                               {{"scheduling.volcano.sh/queue-name", "research"}})
                          .set("/spec/workers/template/spec/priorityClassName", "high")
                          .json();
  ClusterModel cluster = cluster_with(object, &SchedulingSeen::volcano, kVolcano);
  cluster.settle();
  EXPECT_EQ(cluster.group["apiVersion"], "scheduling.volcano.sh/v1beta1");
  EXPECT_EQ(cluster.group["spec"],
            Json::parse(R"({"minMember": 4, "queue": "research", "priorityClassName": "high"})"));
  const Json& pod = cluster.pods.at("digits-worker-0");
  EXPECT_EQ(pod["metadata"]["annotations"]["scheduling.k8s.io/group-name"], "digits");
  EXPECT_EQ(pod["spec"]["schedulerName"], "volcano");
}

struct Choice {
  const char* scheduler;  // of the template; null: silent
  bool native, plugins, volcano;
  Gang chosen;
};
TEST(Gang, AutoIsTheGroupOfTheSchedulerThatTheTemplateNames) {
  constexpr Choice kChoices[] = {
      {nullptr, false, false, false, Gang::kNone},
      {nullptr, true, true, true, Gang::kNative},
      {nullptr, false, true, true, Gang::kSchedulerPlugins},
      {nullptr, false, false, true, Gang::kNone},  // that Volcano is there does not say that it is meant
      {"default-scheduler", true, true, true, Gang::kNative},
      {"volcano", true, true, true, Gang::kVolcano},
      {"volcano", true, true, false, Gang::kNone},
      {"scheduler-plugins-scheduler", true, true, true, Gang::kSchedulerPlugins},
      {"scheduler-plugins-scheduler", true, false, true, Gang::kNone},
  };
  for (const Choice& each : kChoices) {
    SchedulingSeen seen;
    seen.known = true;
    if (each.native) seen.native = kNative37;
    if (each.plugins) seen.scheduler_plugins = kPlugins;
    if (each.volcano) seen.volcano = kVolcano;
    Json pod_template;
    if (each.scheduler != nullptr) pod_template["spec"]["schedulerName"] = each.scheduler;
    const auto chosen = choose_gang({.choice = "Auto", .pod_template = pod_template, .pods = 4}, seen);
    ASSERT_TRUE(chosen);
    EXPECT_EQ(*chosen, each.chosen) << pod_template << each.native << each.plugins << each.volcano;
  }
}

TEST(Gang, AutoLeavesATemplateAloneThatNamesAGroupItself) {
  SchedulingSeen seen;
  seen.known = true;
  seen.native = kNative37;
  seen.scheduler_plugins = kPlugins;
  for (const char* own : {R"({"metadata": {"labels": {"scheduling.x-k8s.io/pod-group": "mine"}}})",
                          R"({"metadata": {"annotations": {"scheduling.k8s.io/group-name": "mine"}}})",
                          R"({"spec": {"schedulingGroup": {"podGroupName": "mine"}}})",
                          R"({"spec": {"workloadRef": {"name": "mine"}}})"}) {
    const Json pod_template = Json::parse(own);
    EXPECT_EQ(*choose_gang({.choice = "Auto", .pod_template = pod_template, .pods = 4}, seen), Gang::kNone)
        << own;
  }
}

TEST(Gang, ARestartedOperatorWritesNothingBeforeItHasReadTheGroup) {
  ClusterModel cluster = cluster_with(job().json(), &SchedulingSeen::scheduler_plugins, kPlugins);
  cluster.bring_up();
  cluster.group["status"]["phase"] = "Running";
  cluster.settle();
  cluster.group_known = false;
  EXPECT_EQ(cluster.pass(), 0U);
  cluster.group_known = true;
  EXPECT_EQ(cluster.pass(), 0U);
}

TEST(Gang, NoneMakesNoGroupThoughOneCouldBe) {
  ClusterModel cluster = cluster_with(gang("None").json(), &SchedulingSeen::native, kNative37);
  cluster.settle();
  EXPECT_TRUE(cluster.group.is_null());
  EXPECT_EQ(cluster.pods.size(), 4U);
  EXPECT_EQ(cluster.condition("GangScheduled"), nullptr);
}

TEST(Gang, WithoutAnyApiAutoCreatesThePodsAndSaysNothing) {
  ClusterModel cluster = cluster_with(job().json(), nullptr, {});
  cluster.settle();
  EXPECT_EQ(cluster.pods.size(), 4U);
  EXPECT_EQ(cluster.condition("GangScheduled"), nullptr);
  EXPECT_FALSE(cluster.object["status"].contains("gang"));
}

TEST(Gang, AnExplicitOneThatIsNotServedKeepsThePodsBackAndSaysWhatToDo) {
  for (const char* choice : {"Native", "SchedulerPlugins", "Volcano"}) {
    ClusterModel cluster = cluster_with(gang(choice).json(), nullptr, {});
    cluster.settle();
    EXPECT_TRUE(cluster.pods.empty()) << choice;
    ASSERT_NE(cluster.condition("GangScheduled"), nullptr);
    EXPECT_EQ(cluster.condition("GangScheduled")->reason, "NotServed");
    EXPECT_THAT(cluster.condition("PodsReady")->message, HasSubstr("write Auto or None"));
    EXPECT_EQ(cluster.count_events("FailedCreate"), 1);
    EXPECT_EQ(cluster.pass(), 0U) << "a second pass writes nothing";
    EXPECT_GT(cluster.decide().requeue_after.count(), 0) << "it is looked for again";
    cluster.scheduling.native = kNative37;
    cluster.scheduling.scheduler_plugins = kPlugins;
    cluster.scheduling.volcano = kVolcano;
    cluster.settle();
    EXPECT_EQ(cluster.pods.size(), 4U) << "the API was installed later";
    EXPECT_EQ(cluster.status().gang, choice);
  }
}

TEST(Gang, ARightThatIsLackingStopsAnExplicitOneAndIsToldByAuto) {
  ServedApi refused = kNative37;
  refused.refusal = "podgroups is forbidden";
  ClusterModel strict = cluster_with(gang("Native").json(), &SchedulingSeen::native, refused);
  strict.settle();
  EXPECT_TRUE(strict.pods.empty());
  EXPECT_EQ(strict.condition("GangScheduled")->reason, "NotPermitted");
  EXPECT_THAT(strict.condition("GangScheduled")->message, HasSubstr("podgroups is forbidden; grant it"));
  ClusterModel automatic = cluster_with(job().json(), &SchedulingSeen::native, refused);
  automatic.settle();
  EXPECT_EQ(automatic.pods.size(), 4U);
  EXPECT_EQ(automatic.condition("GangScheduled")->message,
            "podgroups is forbidden; the pods are placed one by one");
}

TEST(Gang, ScaledGetsAGroupOfTheNewSize) {
  ClusterModel cluster = cluster_with(job().plain().json(), &SchedulingSeen::native, kNative36);
  cluster.bring_up();
  cluster.object["spec"]["workers"]["replicas"] = 6;
  cluster.object["metadata"]["generation"] = 2;
  cluster.settle();
  EXPECT_EQ(cluster.group["spec"]["schedulingPolicy"]["gang"]["minCount"], 4) << "its pods are still there";
  cluster.finish_deletions();
  cluster.settle();
  EXPECT_EQ(cluster.group["spec"]["schedulingPolicy"]["gang"]["minCount"], 6);
  EXPECT_EQ(cluster.pods.size(), 6U);
}

TEST(Gang, AGroupThatIsStillGoingIsWaitedFor) {
  ClusterModel cluster = cluster_with(job().plain().json(), &SchedulingSeen::native, kNative36);
  cluster.bring_up();
  cluster.object["spec"]["workers"]["replicas"] = 6;
  cluster.settle();
  cluster.finish_deletions();
  cluster.group["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z";  // a finalizer keeps it
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty());
  cluster.group = nullptr;
  cluster.settle();
  EXPECT_EQ(cluster.pods.size(), 6U);
}

TEST(Gang, ARestartKeepsTheGroup) {
  ClusterModel cluster = cluster_with(job().plain().json(), &SchedulingSeen::native, kNative37);
  cluster.bring_up();
  const Json group = cluster.group;
  cluster.end_pod("digits-worker-1", 1, "boom");
  cluster.settle();
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_EQ(cluster.status().incarnation, 2);
  EXPECT_EQ(cluster.group, group);
}

TEST(Gang, AWorkerThatComesToATrainingAtWorkIsPlacedByItself) {
  ClusterModel cluster = cluster_with(job().json(), &SchedulingSeen::native, kNative37);
  cluster.bring_up();
  const Json group = cluster.group;
  EXPECT_TRUE(cluster.pods["digits-worker-1"]["spec"].contains("schedulingGroup"));
  cluster.end_pod("digits-worker-1", 1, "boom");
  cluster.settle();
  cluster.finish_deletions();
  cluster.settle();
  EXPECT_FALSE(cluster.pods["digits-worker-1"]["spec"].contains("schedulingGroup"));
  EXPECT_EQ(cluster.group, group);
}

TEST(Gang, IsDeletedWhenTheObjectIsSuspendedAndMadeAnewWhenItResumes) {
  ClusterModel cluster = cluster_with(job().json(), &SchedulingSeen::scheduler_plugins, kPlugins);
  cluster.bring_up();
  cluster.object["spec"]["suspend"] = true;
  cluster.settle();
  EXPECT_TRUE(cluster.group.is_null());
  EXPECT_EQ(cluster.condition("GangScheduled")->reason, "Suspended");
  cluster.finish_deletions();
  cluster.object["spec"]["suspend"] = false;
  cluster.settle();
  EXPECT_FALSE(cluster.group.is_null());
  EXPECT_EQ(cluster.pods.size(), 4U);
}

TEST(Gang, IsDeletedAtTheEnd) {
  ClusterModel cluster = cluster_with(job().workers(1).json(), &SchedulingSeen::volcano, kVolcano);
  cluster.object["spec"]["scheduling"]["gang"] = "Volcano";
  cluster.bring_up();
  EXPECT_FALSE(cluster.group.is_null());
  cluster.end_pod("digits-worker-0", 0);
  cluster.settle();
  EXPECT_TRUE(cluster.is("Succeeded"));
  EXPECT_TRUE(cluster.group.is_null());
  EXPECT_EQ(cluster.condition("GangScheduled")->reason, "Completed");
  EXPECT_FALSE(cluster.object["status"].contains("gang"));
  EXPECT_EQ(cluster.pass(), 0U);
}

TEST(Gang, WhatItsSchedulerSaysIsTold) {
  ClusterModel cluster = cluster_with(job().json(), &SchedulingSeen::native, kNative37);
  cluster.settle();
  cluster.group["status"]["conditions"] = Json::array({{{"type", "PodGroupInitiallyScheduled"},
                                                        {"status", "False"},
                                                        {"reason", "Unschedulable"},
                                                        {"message", "0/3 nodes are available"}}});
  cluster.settle();
  EXPECT_EQ(cluster.condition("GangScheduled")->reason, "WaitingForScheduler");
  EXPECT_EQ(cluster.condition("GangScheduled")->message,
            "0 of 4 pods have a node; group digits (Native): 0/3 nodes are available");
  cluster.group.erase("status");
  for (auto& [name, pod] : cluster.pods) pod["spec"]["nodeName"] = "node-1";
  cluster.settle();
  EXPECT_TRUE(cluster.is("GangScheduled"));
  EXPECT_EQ(cluster.pass(), 0U);
}

TEST(Gang, AMemberThatStartsAnewAloneDoesNotWaitForThoseThatHaveSucceeded) {
  const Json object = job()
                          .plain()
                          .set("/spec/runPolicy/failurePolicy/rules",
                               Json::array({{{"action", "RestartPod"},
                                             {"onExitCodes", {{"operator", "In"}, {"values", {3}}}}}}))
                          .json();
  ClusterModel cluster = cluster_with(object, &SchedulingSeen::native, kNative37);
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 0);
  cluster.settle();
  cluster.end_pod("digits-worker-1", 3);
  cluster.settle();
  cluster.finish_deletions();
  cluster.advance(std::chrono::seconds(60));
  cluster.settle();
  ASSERT_TRUE(cluster.pods.contains("digits-worker-1"));
  EXPECT_EQ(cluster.status().incarnation, 1);
  EXPECT_FALSE(cluster.pods.at("digits-worker-1")["spec"].contains("schedulingGroup"));
  EXPECT_TRUE(cluster.pods.at("digits-worker-2")["spec"].contains("schedulingGroup"));
}

TEST(Gang, PodsThatAreCreatedLaterBelongToTheGroupOfTheOthers) {
  ClusterModel cluster = cluster_with(job().json(), &SchedulingSeen::native, kNative35);
  for (const Action& action : cluster.decide().actions) {  // the operator ends before the fourth pod
    cluster.apply(action);
    if (cluster.pods.size() == 3) break;
  }
  cluster.scheduling.scheduler_plugins = kPlugins;
  cluster.object["spec"]["scheduling"]["gang"] = "SchedulerPlugins";
  cluster.settle();
  EXPECT_EQ(cluster.pods.at("digits-worker-3")["spec"]["workloadRef"]["name"], "digits");
  EXPECT_EQ(cluster.status().gang, "Native");
}

}  // namespace
}  // namespace muster::op::testing
