// local/tests/api/garbage_test.cc: what is deleted stays visible until what it waits for has gone
#include <gtest/gtest.h>

#include "local/api/local_client.h"
#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";
constexpr const char* kPods = "/api/v1/namespaces/default/pods";

class GarbageTest : public testing::Test {
 protected:
  static Json owned_by(Json object, const Json& owner) {
    object["metadata"]["ownerReferences"].push_back({{"apiVersion", owner["apiVersion"]},
                                                     {"kind", owner["kind"]},
                                                     {"name", owner["metadata"]["name"]},
                                                     {"uid", owner["metadata"]["uid"]},
                                                     {"blockOwnerDeletion", true}});
    return object;
  }
  Json make(const std::string& name) { return api_.json("POST", kMaps, config_map(name)); }
  Json make(const std::string& name, const Json& owner) {
    return api_.json("POST", kMaps, owned_by(config_map(name), owner));
  }
  // On a node, so that its deletion waits for that node.
  Json make_pod(const std::string& name, const Json& owner) {
    const Json pod{{"apiVersion", "v1"},
                   {"kind", "Pod"},
                   {"metadata", {{"name", name}}},
                   {"spec",
                    {{"nodeName", "node"},
                     {"containers", {{{"name", "main"}, {"image", "busybox"}, {"command", {"true"}}}}}}}};
    return api_.json("POST", kPods, owned_by(pod, owner));
  }
  void remove(const char* folder, const std::string& name, const std::string& policy) {
    const Json options{{"kind", "DeleteOptions"}, {"apiVersion", "v1"}, {"propagationPolicy", policy}};
    ASSERT_LT(api_.call("DELETE", std::string(folder) + "/" + name, options).status, 300);
  }
  bool there(const char* folder, const std::string& name) {
    return api_.call("GET", std::string(folder) + "/" + name).status == 200;
  }
  bool ending(const char* folder, const std::string& name) {
    const Json object = api_.get(std::string(folder) + "/" + name);
    return object.contains("metadata") && object["metadata"].contains("deletionTimestamp");
  }
  // The node reports that the processes of the pod have ended.
  void end_processes(const Json& pod) {
    ASSERT_TRUE(client_.finish_pod_deletion("default", pod["metadata"]["name"].get<std::string>(),
                                            pod["metadata"]["uid"].get<std::string>()));
  }

  Api api_;
  LocalClient client_{api_.http, api_.store};
};

TEST_F(GarbageTest, InTheForegroundAnOwnerWaitsForItsPods) {
  const Json owner = make("owner");
  const Json pod = make_pod("pod", owner);
  remove(kMaps, "owner", "Foreground");
  ASSERT_TRUE(eventually([&] { return ending(kPods, "pod"); }));
  const Json waiting = api_.get(std::string(kMaps) + "/owner");
  EXPECT_EQ(waiting["metadata"]["finalizers"], Json({"foregroundDeletion"}));
  EXPECT_EQ(waiting["metadata"]["deletionGracePeriodSeconds"], 0);
  EXPECT_EQ(api_.get(std::string(kPods) + "/pod")["metadata"]["deletionGracePeriodSeconds"], 30);
  end_processes(pod);
  EXPECT_TRUE(eventually([&] { return !there(kMaps, "owner"); }));
}

// A Deployment waits for its ReplicaSets, and these for their pods.
TEST_F(GarbageTest, InTheForegroundTheWholeChainWaitsForTheProcesses) {
  const Json owner = make("owner");
  const Json middle = make("middle", owner);
  const Json pod = make_pod("pod", middle);
  remove(kMaps, "owner", "Foreground");
  ASSERT_TRUE(eventually([&] { return ending(kPods, "pod"); }));
  EXPECT_TRUE(ending(kMaps, "middle")) << "it goes with its pods, not before them";
  EXPECT_TRUE(ending(kMaps, "owner"));
  end_processes(pod);
  EXPECT_TRUE(eventually([&] { return !there(kMaps, "owner"); }));
  EXPECT_FALSE(there(kMaps, "middle"));
}

TEST_F(GarbageTest, InTheForegroundACircleEnds) {
  const Json one = make("one");
  const Json two = make("two", one);
  (void)api_.merge(std::string(kMaps) + "/one",
                   {{"metadata", {{"ownerReferences", owned_by(one, two)["metadata"]["ownerReferences"]}}}});
  remove(kMaps, "one", "Foreground");
  EXPECT_TRUE(eventually([&] { return !there(kMaps, "one") && !there(kMaps, "two"); }));
}

TEST_F(GarbageTest, InTheBackgroundTheOwnerGoesAtOnceAndPodsStayUntilTheirProcessesEnd) {
  const Json owner = make("owner");
  const Json pod = make_pod("pod", owner);
  remove(kMaps, "owner", "Background");
  EXPECT_FALSE(there(kMaps, "owner"));
  ASSERT_TRUE(eventually([&] { return ending(kPods, "pod"); }));
  EXPECT_TRUE(there(kPods, "pod"));
  end_processes(pod);
  EXPECT_FALSE(there(kPods, "pod"));
}

TEST_F(GarbageTest, OrphansLoseTheirOwnerAndStay) {
  const Json owner = make("owner");
  (void)make("child", owner);
  remove(kMaps, "owner", "Orphan");
  EXPECT_TRUE(eventually([&] { return !there(kMaps, "owner"); }));
  EXPECT_FALSE(api_.get(std::string(kMaps) + "/child")["metadata"].contains("ownerReferences"));
}

}  // namespace
}  // namespace muster::local
