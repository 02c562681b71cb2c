// local/tests/control_plane/scheduling_test.cc: does a pod fit, and what is said if not
#include "local/scheduling.h"

#include <gtest/gtest.h>

#include "local/machine.h"
#include "local/tests/runtime/builders.h"

namespace muster::local {
namespace {

Json node() {
  return node_object({.cpus = 2, .memory_bytes = 1 << 30, .storage_bytes = 1 << 30, .gpus = {"0"}},
                     "muster-local", "127.0.0.1");
}

Json asking(const std::string& name, const std::string& resource, const std::string& quantity) {
  Json pod = PodBuilder(name).shell("true").on_main("resources", {{"requests", {{resource, quantity}}}});
  pod["spec"].erase("nodeName");
  return pod;
}

Json bound(Json pod) {
  pod["spec"]["nodeName"] = "muster-local";
  return pod;
}

using Obstacles = std::vector<std::string>;

TEST(Scheduling, CountsWhatIsTaken) {
  EXPECT_EQ(obstacles(asking("a", "cpu", "2"), node(), free_resources(node(), {})), Obstacles{});
  const Json other = bound(asking("b", "cpu", "500m"));
  EXPECT_EQ(obstacles(asking("a", "cpu", "2"), node(), free_resources(node(), {other})),
            Obstacles{"Insufficient cpu"});
  Json ended = other;
  ended["status"]["phase"] = "Succeeded";
  EXPECT_EQ(obstacles(asking("a", "cpu", "2"), node(), free_resources(node(), {ended})), Obstacles{});
  EXPECT_EQ(obstacles(asking("a", "nvidia.com/gpu", "2"), node(), free_resources(node(), {})),
            Obstacles{"Insufficient nvidia.com/gpu"});
  EXPECT_EQ(obstacles(asking("a", "example.com/other", "1"), node(), free_resources(node(), {})),
            Obstacles{"Insufficient example.com/other"});
}

TEST(Scheduling, FollowsSelectorsAndAffinity) {
  const auto free = free_resources(node(), {});
  Json pod = asking("a", "cpu", "1");
  pod["spec"]["nodeSelector"] = {{"kubernetes.io/os", "linux"}};
  EXPECT_EQ(obstacles(pod, node(), free), Obstacles{});
  pod["spec"]["nodeSelector"] = {{"no", "where"}};
  EXPECT_EQ(obstacles(pod, node(), free), Obstacles{"node(s) didn't match Pod's node affinity/selector"});
  pod["spec"].erase("nodeSelector");
  const auto affinity = [&](Json expression) {
    pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
       ["nodeSelectorTerms"] = Json::array({{{"matchExpressions", Json::array({std::move(expression)})}}});
    return obstacles(pod, node(), free).empty();
  };
  EXPECT_TRUE(affinity({{"key", "kubernetes.io/os"}, {"operator", "In"}, {"values", {"linux"}}}));
  EXPECT_FALSE(affinity({{"key", "kubernetes.io/os"}, {"operator", "NotIn"}, {"values", {"linux"}}}));
  EXPECT_FALSE(affinity({{"key", "gpu"}, {"operator", "Exists"}}));
  EXPECT_TRUE(affinity({{"key", "gpu"}, {"operator", "DoesNotExist"}}));
}

TEST(Scheduling, SaysWhyAsTheRealOneDoes) {
  EXPECT_EQ(unschedulable_message({"Insufficient cpu"}),
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No "
            "preemption victims found "
            "for incoming pod.");
}

TEST(Scheduling, LeavesOthersAlone) {
  const Json pod = asking("a", "cpu", "1");
  EXPECT_TRUE(wants_scheduling(pod));
  EXPECT_FALSE(wants_scheduling(bound(pod)));
  Json gated = pod;
  gated["spec"]["schedulingGates"] = {{{"name", "x"}}};
  EXPECT_FALSE(wants_scheduling(gated));
  Json going = pod;
  going["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z";
  EXPECT_FALSE(wants_scheduling(going));
}

}  // namespace
}  // namespace muster::local
