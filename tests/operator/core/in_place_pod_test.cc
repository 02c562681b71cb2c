// tests/operator/core/in_place_pod_test.cc: what pods of jobs with runPolicy.restart InPlace are made like
#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

JobBuilder in_place(const Json& pod_security = Json::object()) {
  return job()
      .plain()
      .workers(4)
      .set("/spec/runPolicy/restart", "InPlace")
      .set("/spec/workers/template/spec/securityContext", pod_security)
      .set("/spec/workers/template/spec/containers/0/command", Json::array({"train"}));
}

Json pod_of(const JobBuilder& object) {
  ClusterModel cluster(object.json());
  cluster.settle();
  return cluster.pods.at("digits-worker-0")["spec"];
}

// A pod is Guaranteed only if every container of it has equal requests and limits of both.
TEST(InPlacePod, StaysGuaranteed) {
  const Json resources = pod_of(in_place())["initContainers"][0]["resources"];
  EXPECT_EQ(resources["requests"], resources["limits"]);
  EXPECT_TRUE(resources["limits"].contains("cpu") && resources["limits"].contains("memory"));
}

TEST(InPlacePod, ItsCopierHasAUserOfItsOwnOnlyWhereThePodsIsRoot) {
  const auto user = [](const Json& pod_security) {
    const Json security = pod_of(in_place(pod_security))["initContainers"][0]["securityContext"];
    EXPECT_EQ(security["runAsNonRoot"], true);
    return security.value("runAsUser", Json());
  };
  EXPECT_EQ(user(Json::object()), nullptr) << "the image's, or the one that OpenShift chooses";
  EXPECT_EQ(user({{"runAsNonRoot", true}}), nullptr);
  EXPECT_EQ(user({{"runAsUser", 1000}}), nullptr);
  EXPECT_EQ(user({{"runAsUser", 0}}), 65532);
  EXPECT_EQ(user({{"runAsNonRoot", false}}), 65532);
}

TEST(InPlacePod, ReadsLastWordsWhereTheKubeletDoes) {
  const auto told = [](const Json& container) {
    for (const Json& each : container["env"])
      if (each["name"] == "MUSTER_TERMINATION_LOG") return each["value"];
    return Json();
  };
  EXPECT_EQ(told(pod_of(in_place())["containers"][0]), nullptr);
  const Json container = pod_of(in_place().set(
      "/spec/workers/template/spec/containers/0/terminationMessagePath", "/tmp/words"))["containers"][0];
  EXPECT_EQ(told(container), "/tmp/words");
}

// A scheduler would wait for four pods, of which three will ever be.
TEST(InPlacePod, OneThatIsMadeAnewJoinsNoGroupThatIsLargerThanTheJob) {
  for (const int replicas : {4, 3}) {
    ClusterModel cluster(in_place().json());
    cluster.scheduling.known = true;
    cluster.scheduling.native =
        ServedApi{.kind = ApiKind{"scheduling.k8s.io", "v1beta1", "podgroups", "PodGroup"}, .refusal = {}};
    cluster.settle();
    ASSERT_EQ(cluster.group["spec"]["schedulingPolicy"]["gang"]["minCount"], 4);
    cluster.object["spec"]["workers"]["replicas"] = replicas;
    cluster.touch(cluster.object);
    cluster.settle();
    cluster.pods.erase("digits-worker-1");
    cluster.settle();
    ASSERT_TRUE(cluster.pods.contains("digits-worker-1"));
    EXPECT_EQ(cluster.pods.at("digits-worker-1")["spec"].contains("schedulingGroup"), replicas == 4);
  }
}

}  // namespace
}  // namespace muster::op::testing
