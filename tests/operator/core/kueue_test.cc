// tests/operator/core/kueue_test.cc: the protocol between a job's controller and Kueue, whose part is played
// by writes as Kueue's own controllers make them
#include "operator/core/kueue.h"

#include <gmock/gmock.h>

#include "cluster_model.h"
#include "common/base/rfc3339.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;

const Json kFlavor = Json::parse(R"({"kind": "ResourceFlavor", "metadata": {"name": "a100"}, "spec": {
  "nodeLabels": {"gpu": "a100"}, "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]}})");

// Kueue's part: it writes the status of the Workload, and nothing else.
class Kueue : public ::testing::Test {
 protected:
  static ClusterModel queued(Json object, const std::string& version = "v1beta2") {
    object["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team";
    ClusterModel cluster(std::move(object));
    cluster.scheduling.known = true;
    cluster.scheduling.queue.kind = ApiKind{"kueue.x-k8s.io", version, "workloads", "Workload"};
    cluster.scheduling.flavors["a100"] = kFlavor;
    return cluster;
  }
  static void set(ClusterModel& cluster, const std::string& type, bool status, const std::string& reason,
                  const std::string& message) {
    Json& list = cluster.workload["status"]["conditions"];
    if (!list.is_array()) list = Json::array();
    const Json condition{{"type", type},
                         {"status", status ? "True" : "False"},
                         {"reason", reason},
                         {"message", message},
                         {"lastTransitionTime", rfc3339(cluster.now)}};
    for (Json& each : list)
      if (each["type"] == type) {
        each = condition;
        cluster.touch(cluster.workload);
        return;
      }
    list.push_back(condition);
    cluster.touch(cluster.workload);
  }
  static void admit(ClusterModel& cluster, const Json& assignment = Json::object()) {
    Json sets = Json::array();
    for (const Json& set : cluster.workload["spec"]["podSets"]) {
      sets.push_back(
          {{"name", set["name"]}, {"count", set["count"]}, {"flavors", {{"nvidia.com/gpu", "a100"}}}});
      sets.back().update(assignment);
    }
    cluster.workload["status"]["admission"] = {{"clusterQueue", "research"}, {"podSetAssignments", sets}};
    set(cluster, "QuotaReserved", true, "QuotaReserved", "Quota reserved in ClusterQueue research");
    if (condition(cluster, "Evicted") != nullptr) set(cluster, "Evicted", false, "QuotaReserved", "");
    set(cluster, "Admitted", true, "Admitted", "The workload is admitted");
  }
  static const Json* condition(const ClusterModel& cluster, const std::string& type) {
    if (!cluster.workload.contains("status")) return nullptr;
    for (const Json& each : cluster.workload["status"]["conditions"])
      if (each["type"] == type) return &each;
    return nullptr;
  }
  static std::string state(const ClusterModel& cluster, const std::string& type) {
    const Json* found = condition(cluster, type);
    return found == nullptr
               ? ""
               : (*found)["status"].get<std::string>() + " " + (*found)["reason"].get<std::string>();
  }
  static void run(ClusterModel& cluster) {
    cluster.settle();
    admit(cluster);
    cluster.bring_up();
    ASSERT_EQ(cluster.status().phase, "Running");
  }
};

TEST_F(Kueue, ANewObjectWaitsWithAWorkloadAndNoPods) {
  ClusterModel cluster = queued(job().json());
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty());
  EXPECT_EQ(cluster.status().phase, "Suspended");
  EXPECT_EQ(cluster.status().incarnation, 0);
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "Queued") << "the column says why";
  ASSERT_FALSE(cluster.workload.is_null());
  EXPECT_EQ(cluster.workload["metadata"]["name"], "distributedjob-digits-job-u");
  EXPECT_EQ(cluster.workload["metadata"]["ownerReferences"][0]["uid"], "job-uid");
  EXPECT_EQ(cluster.workload["metadata"]["labels"]["kueue.x-k8s.io/job-uid"], "job-uid");
  EXPECT_EQ(cluster.workload["spec"]["queueName"], "team");
  const Json& set = cluster.workload["spec"]["podSets"][0];
  EXPECT_EQ(set["name"], "worker");
  EXPECT_EQ(set["count"], 4);
  EXPECT_EQ(cluster.pass(), 0U) << "a second pass writes nothing";
}

TEST_F(Kueue, ItsPodSetsHoldWhatQuotaIsJudgedByAndNoMore) {
  JobBuilder builder = job().plain();
  builder.set("/spec/workers/template/spec/containers/0/resources/limits", {{"nvidia.com/gpu", 8}})
      .set("/spec/workers/template/spec/nodeSelector", {{"zone", "a"}})
      .set("/spec/workers/template/metadata/annotations",
           {{"kueue.x-k8s.io/podset-required-topology", "rack"}});
  ClusterModel cluster = queued(builder.json());
  cluster.settle();
  const Json& set = cluster.workload["spec"]["podSets"][0];
  EXPECT_EQ(set["template"]["spec"], Json::parse(R"({"nodeSelector": {"zone": "a"},
    "containers": [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": 8}}}]})"));
  EXPECT_EQ(set["topologyRequest"],
            Json::parse(R"({"required": "rack", "podIndexLabel": "muster.dev/index"})"));
}

TEST_F(Kueue, OfAFederatedRoundThereIsAPodSetForEachRole) {
  ClusterModel cluster = queued(federated_round(10, 5));
  cluster.settle();
  const Json& sets = cluster.workload["spec"]["podSets"];
  ASSERT_EQ(sets.size(), 2U);
  EXPECT_EQ(sets[0]["name"], "aggregator");
  EXPECT_EQ(sets[0]["count"], 1);
  EXPECT_EQ(sets[1]["name"], "client");
  EXPECT_EQ(sets[1]["count"], 2);
  EXPECT_TRUE(cluster.pods.empty());
  admit(cluster);
  cluster.settle();
  EXPECT_EQ(cluster.pods.at("phones-aggregator-0")["spec"]["nodeSelector"]["gpu"], "a100");
  cluster.start_pods();
  cluster.settle();
  EXPECT_EQ(cluster.pods.at("phones-client-1")["spec"]["nodeSelector"]["gpu"], "a100");
  EXPECT_EQ(cluster.pods.at("phones-client-1")["metadata"]["labels"]["kueue.x-k8s.io/podset"], "client");
}

TEST_F(Kueue, WhyItWaitsIsTold) {
  ClusterModel cluster = queued(job().json());
  cluster.settle();
  set(cluster, "QuotaReserved", false, "Pending",
      "couldn't assign flavors: insufficient quota for nvidia.com/gpu");
  cluster.settle();
  EXPECT_EQ(cluster.condition("Suspended")->message,
            "in queue team: couldn't assign flavors: insufficient quota for nvidia.com/gpu");
  EXPECT_EQ(cluster.condition("Admitted")->reason, "Queued");
  set(cluster, "QuotaReserved", true, "QuotaReserved", "");
  cluster.workload["status"]["admissionChecks"] =
      Json::array({{{"name", "prov"}, {"state", "Pending"}, {"message", "waiting for nodes"}}});
  cluster.settle();
  EXPECT_EQ(cluster.condition("Suspended")->message, "in queue team: prov: waiting for nodes");
  EXPECT_TRUE(cluster.pods.empty()) << "quota alone is no admission";
}

TEST_F(Kueue, TheAdmissionPutsSelectorsAndTolerationsIntoThePods) {
  ClusterModel cluster =
      queued(job().set("/spec/workers/template/spec/nodeSelector", {{"zone", "a"}}).json());
  cluster.settle();
  cluster.workload["status"]["admissionChecks"] =
      Json::array({{{"name", "prov"},
                    {"state", "Ready"},
                    {"podSetUpdates",
                     {{{"name", "worker"},
                       {"annotations", {{"provider", "p1"}}},
                       {"nodeSelector", {{"pool", "burst"}}}}}}}});
  admit(cluster);
  cluster.settle();
  ASSERT_EQ(cluster.pods.size(), 4U);
  const Json& pod = cluster.pods.at("digits-worker-2");
  EXPECT_EQ(pod["spec"]["nodeSelector"], Json::parse(R"({"zone": "a", "gpu": "a100", "pool": "burst"})"));
  EXPECT_EQ(pod["spec"]["tolerations"], kFlavor["spec"]["tolerations"]);
  EXPECT_EQ(pod["metadata"]["annotations"]["provider"], "p1");
  EXPECT_EQ(pod["metadata"]["annotations"]["kueue.x-k8s.io/workload"], "distributedjob-digits-job-u");
  EXPECT_FALSE(pod["spec"].contains("schedulingGates"));
  EXPECT_TRUE(cluster.is("Admitted"));
  EXPECT_EQ(cluster.condition("Admitted")->message, "by ClusterQueue research");
  EXPECT_FALSE(cluster.is("Suspended"));
  EXPECT_EQ(cluster.status().restarts, 0);
}

TEST_F(Kueue, ATopologyThatKueueAssignsKeepsThePodsGated) {
  ClusterModel cluster = queued(job().json());
  cluster.settle();
  admit(cluster, {{"topologyAssignment", {{"levels", {"rack"}}}}});
  cluster.settle();
  const Json& pod = cluster.pods.at("digits-worker-0");
  EXPECT_EQ(pod["spec"]["schedulingGates"], Json::parse(R"([{"name": "kueue.x-k8s.io/topology"}])"));
  EXPECT_EQ(pod["metadata"]["labels"]["kueue.x-k8s.io/tas"], "true");
}

TEST_F(Kueue, TheWorkloadIsToldWhenThePodsAreReadyAndNoLonger) {
  ClusterModel cluster = queued(job().json());
  run(cluster);
  EXPECT_EQ(state(cluster, "PodsReady"), "True Started");
  EXPECT_EQ(state(cluster, "Admitted"), "True Admitted") << "Kueue's own conditions stay";
  const int writes = cluster.workload_writes;
  cluster.end_pod("digits-worker-1", 1, "boom");
  cluster.settle();
  EXPECT_EQ(state(cluster, "PodsReady"), "False WaitForRecovery");
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_EQ(state(cluster, "PodsReady"), "True Recovered");
  EXPECT_EQ(cluster.workload_writes, writes + 2);
  EXPECT_EQ(cluster.status().restarts, 1) << "a failure counts, in a queue, too";
}

TEST_F(Kueue, AnEvictionStopsThePodsAndGivesTheQuotaBackWhenNoneIsLeft) {
  ClusterModel cluster = queued(job().json());
  run(cluster);
  set(cluster, "Evicted", true, "Preempted", "Preempted to accommodate a workload of higher priority");
  cluster.settle();
  EXPECT_EQ(cluster.status().phase, "Suspended");
  EXPECT_EQ(cluster.condition("Suspended")->reason, "Evicted");
  EXPECT_THAT(cluster.condition("PodsReady")->message, HasSubstr("higher priority"));
  for (const auto& [name, pod] : cluster.pods)
    EXPECT_TRUE(pod["metadata"].contains("deletionTimestamp")) << name;
  EXPECT_TRUE(cluster.workload["status"].contains("admission")) << "its pods still hold what was admitted";
  cluster.finish_deletions();
  cluster.settle();
  EXPECT_FALSE(cluster.workload["status"].contains("admission"));
  EXPECT_EQ(state(cluster, "QuotaReserved"), "False Pending");
  EXPECT_EQ(state(cluster, "Admitted"), "False NoReservation");
  EXPECT_EQ(state(cluster, "Requeued"), "True Preempted");
  EXPECT_EQ(cluster.pass(), 0U);
  EXPECT_EQ(cluster.status().restarts, 0);
  EXPECT_EQ(cluster.status().disruptions, 0);
  set(cluster, "QuotaReserved", false, "Pending", "insufficient unused quota for cpu");
  cluster.settle();
  EXPECT_EQ(cluster.condition("Suspended")->reason, "Queued");
  EXPECT_THAT(cluster.condition("Admitted")->message, HasSubstr("insufficient unused quota for cpu"));
  admit(cluster);
  cluster.bring_up();
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_EQ(cluster.pods.size(), 4U);
}

TEST_F(Kueue, AfterOtherEvictionsKueueSaysWhenItIsQueuedAgain) {
  ClusterModel cluster = queued(job().json());
  run(cluster);
  set(cluster, "Evicted", true, "PodsReadyTimeout", "Exceeded the PodsReady timeout");
  cluster.settle();
  cluster.finish_deletions();
  cluster.settle();
  EXPECT_EQ(state(cluster, "Requeued"), "False PodsReadyTimeout");
}

TEST_F(Kueue, ADeactivatedWorkloadStopsTheObject) {
  ClusterModel cluster = queued(job().json());
  run(cluster);
  cluster.workload["spec"]["active"] = false;
  cluster.settle();
  EXPECT_EQ(cluster.condition("Suspended")->reason, "Deactivated");
  EXPECT_THAT(cluster.condition("Suspended")->message, HasSubstr("set its spec.active to true"));
  set(cluster, "Evicted", true, "Deactivated", "exceeded the number of retries");
  cluster.settle();
  EXPECT_EQ(cluster.condition("Suspended")->reason, "Deactivated");
  EXPECT_THAT(cluster.condition("Suspended")->message,
              HasSubstr("(exceeded the number of retries): set its"));
}

TEST_F(Kueue, AWorkloadThatIsDeletedStopsTheObjectAndIsMadeAnewOnceNoPodIsLeft) {
  ClusterModel cluster = queued(job().json());
  run(cluster);
  cluster.workload = nullptr;
  cluster.settle();
  EXPECT_EQ(cluster.status().phase, "Suspended");
  EXPECT_TRUE(cluster.workload.is_null()) << "pods are left";
  cluster.finish_deletions();
  cluster.settle();
  EXPECT_FALSE(cluster.workload.is_null());
}

TEST_F(Kueue, OtherNumbersOfPodsAreQueuedAnew) {
  ClusterModel cluster = queued(job().json());
  run(cluster);
  cluster.object["spec"]["workers"]["replicas"] = 6;
  cluster.object["metadata"]["generation"] = 2;
  cluster.settle();
  cluster.finish_deletions();
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty());
  EXPECT_EQ(cluster.workload["spec"]["podSets"][0]["count"], 6);
  EXPECT_EQ(cluster.status().restarts, 0);
  admit(cluster);
  cluster.bring_up();
  EXPECT_EQ(cluster.pods.size(), 6U);
}

TEST_F(Kueue, AnotherQueueIsTakenWhileItWaits) {
  ClusterModel cluster = queued(job().json());
  cluster.settle();
  cluster.object["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "other";
  cluster.settle();
  EXPECT_EQ(cluster.workload["spec"]["queueName"], "other");
}

TEST_F(Kueue, WhatTheUserSuspendsLeavesTheQueue) {
  ClusterModel cluster = queued(job().json());
  run(cluster);
  cluster.object["spec"]["suspend"] = true;
  cluster.settle();
  EXPECT_FALSE(cluster.workload.is_null()) << "its pods are still there";
  cluster.finish_deletions();
  cluster.settle();
  EXPECT_TRUE(cluster.workload.is_null());
  EXPECT_EQ(cluster.condition("Suspended")->message, "spec.suspend is true");
  EXPECT_EQ(cluster.condition("Admitted")->reason, "Suspended");
  EXPECT_EQ(cluster.pass(), 0U);
  cluster.object["spec"]["suspend"] = false;
  cluster.settle();
  EXPECT_FALSE(cluster.workload.is_null());
  EXPECT_TRUE(cluster.pods.empty());
}

TEST_F(Kueue, TheEndIsToldWhenNothingRunsAnyMore) {
  ClusterModel cluster = queued(job().json());
  run(cluster);
  for (int i = 0; i < 4; ++i) cluster.end_pod("digits-worker-" + std::to_string(i), 0);
  cluster.settle();
  EXPECT_TRUE(cluster.is("Succeeded"));
  EXPECT_EQ(state(cluster, "Finished"), "True Succeeded");
  EXPECT_EQ(cluster.condition("Admitted")->reason, "Finished");
  EXPECT_EQ(cluster.pass(), 0U);
}

TEST_F(Kueue, AFailureIsToldAsOneAndOnlyAfterTheOtherPodsAreGone) {
  ClusterModel cluster = queued(job().max_restarts(0).json());
  run(cluster);
  cluster.end_pod("digits-worker-1", 1, "boom");
  cluster.settle();
  EXPECT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(state(cluster, "Finished"), "") << "three pods still run";
  cluster.finish_deletions();
  cluster.settle();
  EXPECT_EQ(state(cluster, "Finished"), "True Failed");
  EXPECT_THAT((*condition(cluster, "Finished"))["message"].get<std::string>(), HasSubstr("boom"));
}

TEST_F(Kueue, WithoutItAnObjectInAQueueNeverRunsUngated) {
  ClusterModel cluster = queued(job().json());
  cluster.scheduling.queue.kind.reset();
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty());
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "QueueUnavailable");
  EXPECT_THAT(cluster.condition("PodsReady")->message, HasSubstr("install Kueue, or remove the label"));
  EXPECT_GT(cluster.decide().requeue_after.count(), 0) << "it is looked for again";
  EXPECT_EQ(cluster.pass(), 0U);
  cluster.object["metadata"]["labels"].erase("kueue.x-k8s.io/queue-name");
  cluster.settle();
  EXPECT_EQ(cluster.pods.size(), 4U);
}

TEST_F(Kueue, WhatRunsGoesOnWhileKueueCannotBeAsked) {
  ClusterModel cluster = queued(job().json());
  run(cluster);
  const ServedApi served = cluster.scheduling.queue;
  for (const bool forbidden : {true, false}) {
    cluster.scheduling.queue = served;
    if (forbidden)
      cluster.scheduling.queue.refusal = "workloads is forbidden";
    else
      cluster.scheduling.queue.kind.reset();
    cluster.settle();
    EXPECT_EQ(cluster.status().phase, "Running");
    EXPECT_EQ(cluster.pass(), 0U);
  }
  cluster.end_pod("digits-worker-1", 1, "boom");
  cluster.settle();
  cluster.finish_deletions();
  cluster.settle();
  EXPECT_FALSE(cluster.pods.contains("digits-worker-1")) << "new pods wait for the admission to be read";
  EXPECT_THAT(cluster.condition("PodsReady")->message, HasSubstr("install Kueue"));
  cluster.scheduling.queue = served;
  cluster.bring_up();
  EXPECT_TRUE(cluster.pods.contains("digits-worker-1"));
  EXPECT_EQ(cluster.status().phase, "Running");
}

TEST_F(Kueue, AFlavorThatIsGoneKeepsNewPodsBack) {
  ClusterModel cluster = queued(job().json());
  cluster.settle();
  admit(cluster);
  cluster.scheduling.flavors["a100"] = nullptr;
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty());
  EXPECT_THAT(cluster.condition("PodsReady")->message, HasSubstr("ResourceFlavor a100"));
  cluster.scheduling.flavors["a100"] = kFlavor;
  cluster.settle();
  EXPECT_EQ(cluster.pods.size(), 4U);
}

TEST_F(Kueue, ThePriorityIsThatOfItsClassInBothVersions) {
  for (const char* version : {"v1beta2", "v1beta1"}) {
    Json object = job().json();
    object["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] = "urgent";
    ClusterModel cluster = queued(object, version);
    cluster.scheduling.priority = {.group = "kueue.x-k8s.io", .name = "urgent"};
    cluster.scheduling.priority.problem = "workloadpriorityclasses \"urgent\" not found";
    cluster.settle();
    EXPECT_TRUE(cluster.workload.is_null());
    EXPECT_EQ(cluster.condition("Admitted")->reason, "PriorityClassUnknown");
    cluster.scheduling.priority.value = 1000;
    cluster.settle();
    const Json& spec = cluster.workload["spec"];
    EXPECT_EQ(spec["priority"], 1000);
    if (std::string(version) == "v1beta2") {
      EXPECT_EQ(
          spec["priorityClassRef"],
          Json::parse(R"({"group": "kueue.x-k8s.io", "kind": "WorkloadPriorityClass", "name": "urgent"})"));
    } else {
      EXPECT_EQ(spec["priorityClassName"], "urgent");
      EXPECT_EQ(spec["priorityClassSource"], "kueue.x-k8s.io/workloadpriorityclass");
    }
  }
}

TEST_F(Kueue, WhatIsToBeAskedFollowsFromTheObjectAndItsWorkload) {
  Json object = job().set("/spec/workers/template/spec/priorityClassName", "high").json();
  SchedulingSeen seen;
  EXPECT_FALSE(questions_of(object, seen, 0).priority_class) << "whether there is a Workload is not known";
  seen.workload.known = true;
  EXPECT_EQ(questions_of(object, seen, 0).priority_class,
            std::pair(std::string("scheduling.k8s.io"), std::string("high")));
  const Json of_servers =
      job().set("/spec/synchronization/parameterServers/template/spec/priorityClassName", "low").json();
  EXPECT_EQ(questions_of(of_servers, seen, 0).priority_class,
            std::pair(std::string("scheduling.k8s.io"), std::string("low")));
  object["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] = "urgent";
  EXPECT_EQ(questions_of(object, seen, 0).priority_class,
            std::pair(std::string("kueue.x-k8s.io"), std::string("urgent")));
  ClusterModel cluster = queued(job().json());
  cluster.settle();
  admit(cluster);
  seen.workload.object = std::make_shared<Json>(cluster.workload);
  EXPECT_THAT(questions_of(object, seen, 3).flavors, ::testing::ElementsAre("a100"));
  EXPECT_THAT(questions_of(object, seen, 4).flavors, ::testing::IsEmpty()) << "no pod is to be made";
}

TEST_F(Kueue, AnObjectOfAnotherControllerIsLeftAlone) {
  ClusterModel cluster = queued(job().set("/spec/managedBy", "kueue.x-k8s.io/multikueue").json());
  cluster.settle();
  EXPECT_TRUE(cluster.workload.is_null());
  EXPECT_FALSE(cluster.object.contains("status"));
}

TEST_F(Kueue, ItsDeadlinesCountFromTheAdmission) {
  ClusterModel cluster = queued(job().active_deadline(100).json());
  cluster.settle();
  cluster.advance(std::chrono::seconds(1000));
  cluster.settle();
  EXPECT_FALSE(cluster.is("Failed"));
  admit(cluster);
  cluster.bring_up();
  EXPECT_FALSE(cluster.is("Failed"));
  cluster.advance(std::chrono::seconds(200));
  cluster.settle();
  EXPECT_EQ(cluster.condition("Failed")->reason, "DeadlineExceeded");
}

}  // namespace
}  // namespace muster::op::testing
