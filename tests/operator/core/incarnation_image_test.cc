// tests/operator/core/incarnation_image_test.cc: pods that work together are of one release of Muster,
// whatever becomes of the operator meanwhile
#include <gmock/gmock.h>

#include "cluster_model.h"
#include "common/json/access.h"

namespace muster::op::testing {
namespace {

constexpr const char* kOld = "muster-worker:1.0";
constexpr const char* kNew = "muster-worker:2.0";

// Of Muster's container in the pod.
std::string image_of(const ClusterModel& cluster, const std::string& pod) {
  const Json& spec = cluster.pods.at(pod)["spec"];
  for (const Json& container : spec.value("initContainers", Json::array()))
    if (container["name"] == "muster") return container["image"];
  return spec["containers"][0]["image"];
}

Json served() {
  return job()
      .workers(2)
      .max_restarts(3)
      .set("/spec/synchronization", {{"topology", "ParameterServer"}, {"parameterServers", {{"shards", 2}}}})
      .json();
}

Json with_program() {
  return job()
      .workers(2)
      .set("/spec/training", {{"program", Json::object()}})
      .set("/spec/workers/template/spec/containers",
           Json::array({{{"name", "worker"}, {"image", "train:1"}}}))
      .json();
}

ClusterModel upgraded_while_it_runs(Json object) {
  ClusterModel cluster(std::move(object));
  cluster.defaults.worker_image = kOld;
  cluster.bring_up();
  cluster.defaults.worker_image = kNew;
  EXPECT_EQ(cluster.pass(), 0U) << "an upgrade writes nothing";
  return cluster;
}

void replace(ClusterModel& cluster, const std::string& pod) {
  cluster.evict(pod);
  cluster.settle();
  cluster.finish_deletions();
  cluster.advance(std::chrono::minutes(1));
  cluster.settle();
  ASSERT_TRUE(cluster.pods.contains(pod));
}

TEST(IncarnationImage, AReplacementIsOfItsPeersRelease) {
  ClusterModel cluster = upgraded_while_it_runs(job().workers(2).max_restarts(3).json());
  replace(cluster, "digits-worker-1");
  EXPECT_EQ(image_of(cluster, "digits-worker-1"), kOld);
  EXPECT_EQ(cluster.status().incarnation, 1);
}

TEST(IncarnationImage, SoIsAServerAndAWorkerBesideServers) {
  ClusterModel cluster = upgraded_while_it_runs(served());
  replace(cluster, "digits-server-1");
  EXPECT_EQ(image_of(cluster, "digits-server-1"), kOld);
  cluster.start_pods();
  cluster.settle();
  replace(cluster, "digits-worker-0");
  EXPECT_EQ(image_of(cluster, "digits-worker-0"), kOld);
}

TEST(IncarnationImage, OfWorkersWithAnImageOfTheirOwnTheServersTellIt) {
  Json object = served();
  object["spec"]["workers"]["template"]["spec"]["containers"] =
      Json::array({{{"name", "worker"}, {"image", "mine:3"}}});
  ClusterModel cluster = upgraded_while_it_runs(object);
  replace(cluster, "digits-server-0");
  EXPECT_EQ(image_of(cluster, "digits-server-0"), kOld)
      << "not mine:3, which only the workers' template names";
  cluster.start_pods();
  cluster.settle();
  replace(cluster, "digits-worker-0");
  EXPECT_EQ(image_of(cluster, "digits-worker-0"), "mine:3");
}

TEST(IncarnationImage, SoIsTheSidecarOfAProgram) {
  ClusterModel cluster = upgraded_while_it_runs(with_program());
  replace(cluster, "digits-worker-1");
  EXPECT_EQ(image_of(cluster, "digits-worker-1"), kOld);
}

TEST(IncarnationImage, SoIsWhoeverComesByScale) {
  ClusterModel cluster = upgraded_while_it_runs(job().workers(2).json());
  cluster.object["spec"]["workers"]["replicas"] = 3;
  cluster.settle();
  EXPECT_EQ(image_of(cluster, "digits-worker-2"), kOld);
}

TEST(IncarnationImage, ANewIncarnationIsOfTheOperatorsRelease) {
  ClusterModel cluster = upgraded_while_it_runs(served());
  cluster.end_pod("digits-server-0", 137);  // with its mirror at once
  cluster.end_pod("digits-server-1", 137);
  cluster.settle();
  cluster.finish_deletions();
  cluster.advance(std::chrono::minutes(10));
  cluster.settle();
  ASSERT_EQ(cluster.status().incarnation, 2);
  ASSERT_EQ(cluster.pods.size(), 4U);
  for (const auto& [name, pod] : cluster.pods) EXPECT_EQ(image_of(cluster, name), kNew) << name;
}

TEST(IncarnationImage, WhereNoPodOfItIsLeftAllAreOfTheNewRelease) {
  ClusterModel cluster = upgraded_while_it_runs(job().workers(2).json());
  cluster.pods.clear();
  cluster.agents.clear();
  cluster.settle();
  ASSERT_EQ(cluster.pods.size(), 2U);
  for (const auto& [name, pod] : cluster.pods) EXPECT_EQ(image_of(cluster, name), kNew) << name;
}

// `container`: of Muster, in a pod that waits.
void cannot_pull(Json& pod, const char* container, const char* reason) {
  const char* list = std::string_view(container) == "muster" ? "initContainerStatuses" : "containerStatuses";
  pod["status"] = {
      {"phase", "Pending"},
      {list, Json::array({{{"name", container}, {"state", {{"waiting", {{"reason", reason}}}}}}})}};
}

TEST(IncarnationImage, OneThatCannotBePulledIsNotTakenFurther) {
  for (const bool beside_program : {false, true}) {
    for (const char* reason : {"ErrImagePull", "ImagePullBackOff", "InvalidImageName"}) {
      ClusterModel cluster(beside_program ? with_program() : job().workers(2).json());
      cluster.defaults.worker_image = "muster-worker:mistyped";
      cluster.settle();
      for (auto& [name, pod] : cluster.pods) cannot_pull(pod, beside_program ? "muster" : "worker", reason);
      cluster.defaults.worker_image = kNew;
      cluster.pods.erase("digits-worker-1");
      cluster.settle();
      EXPECT_EQ(image_of(cluster, "digits-worker-1"), kNew) << reason;
    }
  }
}

TEST(IncarnationImage, ThatOfPodsThatHaveRunComesBeforeThatOfOnesThatWait) {
  ClusterModel cluster(job().workers(3).json());
  cluster.defaults.worker_image = kOld;
  cluster.settle();
  cluster.pods.at("digits-worker-0")["spec"]["containers"][0]["image"] = "muster-worker:other";
  cluster.pods.at("digits-worker-1")["status"] = {{"phase", "Running"}};
  cluster.pods.erase("digits-worker-2");
  cluster.defaults.worker_image = kNew;
  cluster.settle();
  EXPECT_EQ(image_of(cluster, "digits-worker-2"), kOld);
}

// What the program's own container waits for says nothing of Muster's beside it.
TEST(IncarnationImage, AProgramsImageThatCannotBePulledLeavesTheSidecarsItsWord) {
  ClusterModel cluster(with_program());
  cluster.defaults.worker_image = kOld;
  cluster.settle();
  for (auto& [name, pod] : cluster.pods) {
    cannot_pull(pod, "worker", "ImagePullBackOff");
    pod["status"]["initContainerStatuses"] =
        Json::array({{{"name", "muster"}, {"state", {{"running", Json::object()}}}}});
  }
  cluster.defaults.worker_image = kNew;
  cluster.pods.erase("digits-worker-1");
  cluster.settle();
  EXPECT_EQ(image_of(cluster, "digits-worker-1"), kOld);
}

// It ended between two creates; the next one is of another release.
TEST(IncarnationImage, TheFirstPodsOfAnIncarnationDecideForItsLast) {
  ClusterModel cluster(job().workers(3).json());
  cluster.defaults.worker_image = kOld;
  cluster.settle();
  cluster.pods.erase("digits-worker-1");
  cluster.pods.erase("digits-worker-2");
  cluster.defaults.worker_image = kNew;
  cluster.settle();
  ASSERT_EQ(cluster.pods.size(), 3U);
  for (const auto& [name, pod] : cluster.pods) EXPECT_EQ(image_of(cluster, name), kOld) << name;
}

// Of a FederatedRound: one client pod alone for both clients, or more.
ClusterModel federation_upgraded(Json object, int rounds = 1) {
  ClusterModel cluster(std::move(object));
  cluster.defaults.aggregator_image = "muster-aggregator:1.0";
  cluster.defaults.device_image = "muster-device:1.0";
  cluster.bring_up();
  auto& told = *cluster.agents.at(cluster.uid_of("phones-aggregator-0")).mutable_aggregator();
  told.set_rounds(5);
  told.set_round(rounds);
  cluster.settle();
  cluster.advance(std::chrono::minutes(1));
  cluster.settle();
  cluster.defaults.aggregator_image = "muster-aggregator:2.0";
  cluster.defaults.device_image = "muster-device:2.0";
  EXPECT_EQ(cluster.pass(), 0U) << "an upgrade writes nothing";
  return cluster;
}

TEST(IncarnationImage, AClientPodIsOfTheReleaseOfItsAggregator) {
  ClusterModel cluster = federation_upgraded(federated_round(4, 2));
  replace(cluster, "phones-client-1");
  EXPECT_EQ(image_of(cluster, "phones-client-1"), "muster-device:1.0");
  EXPECT_EQ(image_of(cluster, "phones-aggregator-0"), "muster-aggregator:1.0");
}

TEST(IncarnationImage, TheOnlyClientPodToo) {
  ClusterModel cluster = federation_upgraded(federated_round(2, 2));
  replace(cluster, "phones-client-0");
  EXPECT_EQ(image_of(cluster, "phones-client-0"), "muster-device:1.0");
  cluster.start_pods();
  cluster.settle();
  cluster.pods.erase("phones-client-0");  // by somebody's hand
  cluster.settle();
  EXPECT_EQ(image_of(cluster, "phones-client-0"), "muster-device:1.0") << "by the aggregator's word";
}

TEST(IncarnationImage, WhatNoClientHasRunIsNotTakenFurther) {
  for (const bool seen_waiting : {true, false}) {
    ClusterModel cluster = federation_upgraded(federated_round(2, 2), 0);
    cannot_pull(cluster.pods.at("phones-client-0"), "client", "ImagePullBackOff");
    if (seen_waiting) cluster.settle();
    cluster.pods.erase("phones-client-0");
    cluster.settle();
    EXPECT_EQ(image_of(cluster, "phones-client-0"), "muster-device:2.0");
  }
}

TEST(IncarnationImage, AnAggregatorThatNobodySawIsOfTheReleaseOfItsClients) {
  ClusterModel cluster(federated_round(4, 2));
  cluster.defaults.aggregator_image = "muster-aggregator:1.0";
  cluster.settle();
  cluster.object["status"].erase("formedIncarnation");
  cluster.pods.erase("phones-aggregator-0");
  cluster.defaults.aggregator_image = "muster-aggregator:2.0";
  cluster.settle();
  EXPECT_EQ(image_of(cluster, "phones-aggregator-0"), "muster-aggregator:1.0");
  EXPECT_EQ(cluster.status().incarnation, 1);
}

TEST(IncarnationImage, AFederationThatBeginsAnewIsOfTheOperatorsRelease) {
  ClusterModel cluster = federation_upgraded(federated_round(4, 2));
  cluster.evict("phones-aggregator-0");
  for (int each = 0; each < 3; ++each) {
    cluster.settle();
    cluster.finish_deletions();
    cluster.advance(std::chrono::minutes(10));
  }
  cluster.settle();
  ASSERT_EQ(cluster.status().incarnation, 2);
  ASSERT_EQ(cluster.pods.size(), 3U);
  EXPECT_EQ(image_of(cluster, "phones-aggregator-0"), "muster-aggregator:2.0");
  EXPECT_EQ(image_of(cluster, "phones-client-1"), "muster-device:2.0");
}

TEST(IncarnationImage, BesideClientsWithAnImageOfTheirOwnTheAggregatorNamesNone) {
  Json object = federated_round(2, 2);
  object["spec"]["clients"]["template"]["spec"]["containers"] =
      Json::array({{{"name", "client"}, {"image", "mine:3"}}});
  ClusterModel cluster = federation_upgraded(object);
  EXPECT_FALSE(
      cluster.pods.at("phones-aggregator-0")["metadata"]["annotations"].contains("muster.dev/peer-image"));
  replace(cluster, "phones-client-0");
  EXPECT_EQ(image_of(cluster, "phones-client-0"), "mine:3");
}

}  // namespace
}  // namespace muster::op::testing
