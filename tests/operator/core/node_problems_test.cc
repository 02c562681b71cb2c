// tests/operator/core/node_problems_test.cc: nodes that are broken, and the pods on them
#include "operator/core/node_problems.h"

#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

const NodeProblem kDeadlock{.condition = "KernelDeadlock: task docker:7 blocked", .taints = {}};
const NodeProblem kTainted{
    .condition = {}, .taints = {{.key = "nvidia.com/gpu-error", .value = "true", .effect = "NoSchedule"}}};

Json condition(const char* type, const char* status, const char* message = "") {
  return {{"type", type}, {"status", status}, {"reason", "Why"}, {"message", message}};
}

Json node_with(Json conditions, Json taints = Json::array()) {
  return {
      {"kind", "Node"},
      {"metadata", {{"name", "node-1"}, {"uid", "u"}, {"resourceVersion", "7"}, {"labels", {{"zone", "a"}}}}},
      {"spec", {{"podCIDR", "10.0.0.0/24"}, {"taints", std::move(taints)}}},
      {"status", {{"conditions", std::move(conditions)}, {"images", Json::array({"a", "b"})}}}};
}

// The nodes that `term` of a manifest's required affinity keeps away from.
std::vector<std::string> avoided(const Json& manifest, std::size_t term = 0) {
  const Json& terms = manifest["spec"]["affinity"]["nodeAffinity"]
                              ["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
  std::vector<std::string> nodes;
  for (const Json& field : terms.at(term).value("matchFields", Json::array())) {
    if (field["key"] != "metadata.name" || field["operator"] != "NotIn") continue;
    EXPECT_EQ(field["values"].size(), 1U) << "the API takes no more";
    nodes.push_back(field["values"][0]);
  }
  return nodes;
}

TEST(NodeProblemRules, AConditionIsOneByItsStatusAndATaintByItsKey) {
  const auto rules = *parse_node_problems("KernelDeadlock,HardwareReady=False,taint:example.com/broken");
  EXPECT_FALSE(problem_of(node_with({condition("KernelDeadlock", "False"), condition("HardwareReady", "True"),
                                     condition("Ready", "False")}),
                          rules)
                   .any());
  EXPECT_EQ(problem_of(node_with({condition("KernelDeadlock", "True", "blocked\n")}), rules).condition,
            "KernelDeadlock: blocked?");
  EXPECT_EQ(problem_of(node_with({condition("HardwareReady", "False")}), rules).condition,
            "HardwareReady=False: Why");
  EXPECT_FALSE(problem_of(node_with({condition("HardwareReady", "Unknown")}), rules).any());
  const Json soft{{"key", "example.com/broken"}, {"effect", "PreferNoSchedule"}};
  const Json hard{{"key", "example.com/broken"}, {"effect", "NoSchedule"}};
  EXPECT_FALSE(problem_of(node_with({}, {soft}), rules).any()) << "the node works";
  EXPECT_EQ(problem_of(node_with({}, {soft, hard}), rules).taints.size(), 1U);
  for (const Json& odd : {Json(), Json::array(), Json{{"status", {{"conditions", "x"}}}, {"spec", 7}}})
    EXPECT_FALSE(problem_of(odd, rules).any());
}

TEST(NodeProblemRules, TheDefaultsAreTakenAndCanBeAddedTo) {
  const auto own = parse_node_problems("default");
  ASSERT_TRUE(own) << own.error().message;
  EXPECT_TRUE(problem_of(node_with({condition("ReadonlyFilesystem", "True")}), *own).any());
  EXPECT_TRUE(problem_of(node_with({condition("AcceleratedHardwareReady", "False")}), *own).any());
  for (const char* flapping : {"FrequentKubeletRestart", "MemoryPressure", "GpuThermalWatch", "Ready"})
    EXPECT_FALSE(problem_of(node_with({condition(flapping, "True")}), *own).any()) << flapping;
  EXPECT_EQ(parse_node_problems("default,Burning")->size(), own->size() + 1);
  EXPECT_TRUE(parse_node_problems("none")->empty());
  EXPECT_TRUE(parse_node_problems("")->empty());
}

TEST(NodeProblemRules, WhatIsNoneIsRefusedWithWhatToWrite) {
  for (const char* wrong : {"KernelDeadlock=true", "a b", "taint:", "=False", "a//b", "taint:x=y", "-x", ","})
    EXPECT_THAT(parse_node_problems(wrong).error().message, HasSubstr("write a condition's type")) << wrong;
  for (const char* of_the_cluster : {"Ready=False", "DiskPressure", "taint:node.kubernetes.io/not-ready",
                                     "taint:node.kubernetes.io/unschedulable"})
    EXPECT_THAT(parse_node_problems(of_the_cluster).error().message, HasSubstr("left to the cluster"));
}

TEST(NodeProblemRules, OfANodeOnlyItsIdentityAndItsProblemAreKept) {
  const auto rules = *parse_node_problems("KernelDeadlock,taint:example.com/broken");
  const Json taint{{"key", "example.com/broken"}, {"effect", "NoSchedule"}};
  Json sick = node_with({condition("Ready", "True"), condition("KernelDeadlock", "True", "x")}, {taint});
  const NodeProblem before = problem_of(sick, rules);
  project_node(sick, rules);
  EXPECT_EQ(problem_of(sick, rules).condition, before.condition);
  EXPECT_EQ(problem_of(sick, rules).taints, before.taints);
  Json well = node_with({condition("Ready", "True"), condition("KernelDeadlock", "False", "x")});
  project_node(well, rules);
  EXPECT_EQ(well, (Json{{"metadata", {{"name", "node-1"}, {"uid", "u"}, {"resourceVersion", "7"}}}}));
}

TEST(AvoidBadNodes, EveryAlternativeOfTheUsersAffinityKeepsAway) {
  const Json zone{{"matchExpressions", {{{"key", "zone"}, {"operator", "In"}, {"values", {"a"}}}}}};
  const Json own{{"matchFields", {{{"key", "metadata.name"}, {"operator", "In"}, {"values", {"n"}}}}}};
  Json pod{{"spec",
            {{"affinity",
              {{"nodeAffinity",
                {{"requiredDuringSchedulingIgnoredDuringExecution",
                  {{"nodeSelectorTerms", Json::array({zone, Json::object(), own})}}}}}}}}}};
  avoid_bad_nodes({{"node-1", kDeadlock}, {"node-2", kTainted}}, pod);
  EXPECT_THAT(avoided(pod, 0), ElementsAre("node-1", "node-2"));
  EXPECT_THAT(avoided(pod, 1), ElementsAre()) << "an empty term selects nothing, and must go on so";
  EXPECT_THAT(avoided(pod, 2), ElementsAre("node-1", "node-2"));
  EXPECT_EQ(pod["metadata"]["annotations"]["muster.dev/avoids"], "node-1,node-2");
  const Json& terms = pod["spec"]["affinity"]["nodeAffinity"]
                         ["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
  EXPECT_EQ(terms[0]["matchExpressions"], zone["matchExpressions"]);
  EXPECT_EQ(terms[2]["matchFields"].size(), 3U);
}

TEST(AvoidBadNodes, APodGoesWhereItToleratesWhatIsWrong) {
  const auto avoids = [](const Json& toleration) {
    Json pod{{"spec", {{"tolerations", Json::array({toleration})}}}};
    avoid_bad_nodes({{"node-1", kTainted}}, pod);
    return pod["spec"].contains("affinity");
  };
  EXPECT_TRUE(avoids({{"key", "nvidia.com/gpu"}, {"operator", "Exists"}}));
  EXPECT_TRUE(avoids({{"key", "nvidia.com/gpu-error"}, {"value", "false"}}));
  EXPECT_TRUE(avoids({{"key", "nvidia.com/gpu-error"}, {"operator", "Exists"}, {"effect", "NoExecute"}}));
  EXPECT_FALSE(avoids({{"key", "nvidia.com/gpu-error"}, {"value", "true"}}));
  EXPECT_FALSE(avoids({{"key", "nvidia.com/gpu-error"}, {"operator", "Exists"}, {"effect", "NoSchedule"}}));
  EXPECT_FALSE(avoids({{"operator", "Exists"}}));
  Json pod{{"spec", {{"tolerations", {{{"operator", "Exists"}}}}}}};
  avoid_bad_nodes({{"node-1", kDeadlock}}, pod);
  EXPECT_THAT(avoided(pod), ElementsAre("node-1")) << "a condition cannot be tolerated";
}

class BadNode : public ::testing::Test {
 protected:
  explicit BadNode(const Json& object = job().max_restarts(0).json()) : cluster_(object) {
    cluster_.bring_up();
    for (auto& [name, pod] : cluster_.pods) pod["spec"]["nodeName"] = "node-of-" + name;
  }
  void replace() {
    cluster_.settle();
    cluster_.finish_deletions();
    cluster_.settle();
  }
  ClusterModel cluster_;
};

class BadNodeOfAProgram : public BadNode {
 protected:
  BadNodeOfAProgram() : BadNode(job().max_restarts(0).plain().json()) {}
};

TEST_F(BadNode, AWorkerOfATrainingAloneIsReplacedElsewhereUncounted) {
  const std::string neighbour = cluster_.uid_of("digits-worker-2");
  cluster_.bad_nodes["node-of-digits-worker-1"] = kDeadlock;
  replace();
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_EQ(cluster_.uid_of("digits-worker-2"), neighbour);
  EXPECT_THAT(avoided(cluster_.pods["digits-worker-1"]), ElementsAre("node-of-digits-worker-1"));
}

TEST_F(BadNodeOfAProgram, ItsPodIsReplacedElsewhereUncounted) {
  cluster_.bad_nodes["node-of-digits-worker-1"] = kDeadlock;
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_EQ(cluster_.condition("Restarting")->message,
            "worker 1 (digits-worker-1) was disrupted: NodeUnhealthy: node node-of-digits-worker-1 has "
            "KernelDeadlock: task docker:7 blocked");
  replace();
  ASSERT_EQ(cluster_.pods.size(), 4U);
  for (const auto& [name, pod] : cluster_.pods)
    EXPECT_THAT(avoided(pod), ElementsAre("node-of-digits-worker-1")) << name;
  EXPECT_EQ(cluster_.pass(), 0U);
}

TEST_F(BadNodeOfAProgram, ATaintThatThePodToleratesDoesNotDisruptIt) {
  cluster_.pods["digits-worker-1"]["spec"]["tolerations"] = {{{"operator", "Exists"}}};
  cluster_.bad_nodes["node-of-digits-worker-1"] = kTainted;
  EXPECT_EQ(cluster_.pass(), 0U);
  cluster_.bad_nodes["node-of-digits-worker-2"] = kTainted;
  cluster_.pass();
  EXPECT_THAT(cluster_.condition("Restarting")->message,
              HasSubstr("has taint nvidia.com/gpu-error=true:NoSchedule"));
}

class EndOnABadNode : public BadNode, public ::testing::WithParamInterface<int> {};

TEST_P(EndOnABadNode, IsTheNodesDoing) {
  cluster_.end_pod("digits-worker-1", GetParam());
  cluster_.end_pod("digits-worker-2", 1);  // as its peer went
  cluster_.bad_nodes["node-of-digits-worker-1"] = kDeadlock;
  cluster_.pass();
  EXPECT_FALSE(cluster_.is("Failed")) << "74 may be its read-only file system";
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_EQ(cluster_.status().disruptions, 2);
}
INSTANTIATE_TEST_SUITE_P(Codes, EndOnABadNode, ::testing::Values(1, 65, 74, 75, 137));

TEST_F(BadNode, AWorkerThatHasSucceededThereStaysDone) {
  cluster_.end_pod("digits-worker-1", 0);
  cluster_.settle();
  cluster_.bad_nodes["node-of-digits-worker-1"] = kDeadlock;
  EXPECT_EQ(cluster_.pass(), 0U);
}

TEST_F(BadNodeOfAProgram, PodsThatWaitAreMadeAnewWhenItIsWell) {
  cluster_.bad_nodes["node-of-digits-worker-1"] = kDeadlock;
  replace();
  const auto unschedulable = Json::array({{{"type", "PodScheduled"},
                                           {"status", "False"},
                                           {"reason", "Unschedulable"},
                                           {"message", "0/1 nodes are available"}}});
  for (const char* name : {"digits-worker-2", "digits-worker-3"})
    cluster_.pods[name]["status"]["conditions"] = unschedulable;
  for (const char* name : {"digits-worker-0", "digits-worker-1"})
    cluster_.pods[name]["spec"]["nodeName"] = "n";
  cluster_.settle();
  EXPECT_EQ(cluster_.condition("PodsReady")->message,
            "0 of 4 pods are ready; digits-worker-2: 0/1 nodes are available; it avoids "
            "node-of-digits-worker-1, which has KernelDeadlock: task docker:7 blocked");
  const std::string placed = cluster_.uid_of("digits-worker-0");
  cluster_.bad_nodes.clear();
  replace();
  EXPECT_EQ(cluster_.uid_of("digits-worker-0"), placed);
  for (const char* name : {"digits-worker-2", "digits-worker-3"})
    EXPECT_FALSE(cluster_.pods[name]["spec"].contains("affinity")) << name;
  EXPECT_EQ(cluster_.status().incarnation, 2);
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_EQ(cluster_.count_events("PodsReplaced"), 1);
  EXPECT_EQ(cluster_.pass(), 0U);
}

TEST_F(BadNodeOfAProgram, ThatIsStillAvoidedWhenOthersAreWellAgain) {
  cluster_.bad_nodes = {{"node-of-digits-worker-1", kDeadlock}, {"other", kDeadlock}};
  replace();
  EXPECT_THAT(avoided(cluster_.pods["digits-worker-3"]), ElementsAre("node-of-digits-worker-1", "other"));
  cluster_.bad_nodes.erase("other");
  replace();
  EXPECT_THAT(avoided(cluster_.pods["digits-worker-3"]), ElementsAre("node-of-digits-worker-1"));
}

class BadNodeOfARound : public BadNode {
 protected:
  BadNodeOfARound() : BadNode(federated_round(10, 4)) {}
};

TEST_F(BadNodeOfARound, ItsClientsAreReplacedAlone) {
  const std::string neighbour = cluster_.uid_of("phones-client-0");
  const std::string broken = cluster_.uid_of("phones-client-1");
  cluster_.bad_nodes["node-of-phones-client-1"] = kDeadlock;
  replace();
  EXPECT_EQ(cluster_.uid_of("phones-client-0"), neighbour);
  EXPECT_NE(cluster_.uid_of("phones-client-1"), broken);
  EXPECT_THAT(avoided(cluster_.pods["phones-client-1"]), ElementsAre("node-of-phones-client-1"));
  EXPECT_EQ(cluster_.status().pod_attempts.at(0).failures, 0);
  EXPECT_EQ(cluster_.status().restarts + cluster_.status().disruptions, 0);
  cluster_.bad_nodes.clear();
  replace();
  EXPECT_FALSE(cluster_.pods["phones-client-1"]["spec"].contains("affinity")) << "it had no node yet";
}

TEST_F(BadNodeOfARound, ItsAggregatorRestartsTheRoundUncounted) {
  cluster_.bad_nodes["node-of-phones-aggregator-0"] = kDeadlock;
  replace();
  EXPECT_EQ(cluster_.status().incarnation, 2);
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_THAT(avoided(cluster_.pods["phones-aggregator-0"]), ElementsAre("node-of-phones-aggregator-0"));
  cluster_.bad_nodes.clear();
  replace();
  EXPECT_FALSE(cluster_.pods["phones-aggregator-0"]["spec"].contains("affinity")) << "nor had it";
}

}  // namespace
}  // namespace muster::op::testing
