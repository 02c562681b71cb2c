// tests/operator/shell/cluster_cache_test.cc: what a replica knows that begins to lead, and what is kept of a
// pod
#include "operator/shell/cluster_cache.h"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/support/fake_transport.h"

namespace muster::op {
namespace {

using kube::FakeTransport;
using std::chrono::seconds;

Json pod(const std::string& name) {
  return {{"kind", "Pod"},
          {"metadata",
           {{"name", name},
            {"namespace", "n"},
            {"uid", "uid-" + name},
            {"resourceVersion", "17"},
            {"ownerReferences",
             {{{"kind", "DistributedJob"}, {"name", "x"}, {"uid", "u"}, {"controller", true}}}}}}};
}

// As a pass reads it; whole: as a cluster tells of it.
Json told_pod(bool whole) {
  Json pod = Json::parse(R"({"apiVersion": "v1", "kind": "Pod",
      "metadata": {"namespace": "n", "name": "x-worker-0", "uid": "p", "resourceVersion": "6",
          "creationTimestamp": "2026-11-29T14:34:20Z", "deletionTimestamp": "2026-11-29T15:34:20Z",
          "labels": {"app": "mine", "muster.dev/role": "worker", "muster.dev/index": "0"},
          "annotations": {"muster.dev/world-size": "4", "muster.dev/attempt": "1", "muster.dev/gang": "g",
                          "muster.dev/progress-ca": "62a5b4ce", "muster.dev/container": "main"},
          "ownerReferences": [{"kind": "DistributedJob", "name": "x", "uid": "u", "controller": true}]},
      "spec": {"nodeName": "node-1", "containers": [{"name": "worker", "image": "i"}],
               "initContainers": [{"name": "side", "restartPolicy": "Always"},
                   {"name": "muster", "restartPolicy": "Always", "image": "w",
                    "volumeMounts": [{"name": "muster-credentials"}]}]},
      "status": {"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory",
          "podIP": "10.1.2.3",
          "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "r", "message": "m",
                          "lastTransitionTime": "2026-11-29T14:34:20Z"}],
          "initContainerStatuses": [{"name": "side", "state": {"terminated": {"exitCode": 1}}}],
          "containerStatuses": [{"name": "worker", "state": {"waiting": {"reason": "CrashLoopBackOff"}},
              "allocatedResourcesStatus": [{"name": "nvidia.com/gpu", "resources": [
                  {"resourceID": "GPU-7", "health": "Unhealthy"}]}]}]}})");
  if (!whole) return pod;
  pod["metadata"]["managedFields"] = Json::array({{{"manager", "kubelet"}}});
  pod["metadata"]["generateName"] = "x-";
  pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"] = "[{}]";
  pod["spec"]["volumes"] = Json::array({{{"name", "v"}}});
  for (const char* name : {"muster-socket", "data"})
    pod["spec"]["initContainers"][1]["volumeMounts"].push_back({{"name", name}, {"mountPath", "/there"}});
  pod["spec"]["initContainers"][0]["volumeMounts"] = Json::array({{{"name", "v"}, {"mountPath", "/v"}}});
  pod["spec"]["containers"][0]["command"] = Json::array({"c"});
  pod["status"]["hostIP"] = "10.0.0.1";
  pod["status"]["qosClass"] = "BestEffort";
  pod["status"]["conditions"][0]["lastProbeTime"] = nullptr;
  for (const char* statuses : {"initContainerStatuses", "containerStatuses"}) {
    pod["status"][statuses][0]["imageID"] = "sha256:0";
    pod["status"][statuses][0]["lastState"] = Json::object();
  }
  return pod;
}

TEST(ClusterCache, CatchingUpAddsThePodsThatNoWatchHasTold) {
  enum class Server : std::uint8_t { kEmpty, kTwoPages, kRefuses };
  std::atomic<Server> server = Server::kEmpty;
  auto transport = std::make_shared<FakeTransport>();
  transport->otherwise([&](const kube::HttpRequest& request) -> FakeTransport::Answer {
    if (request.target.find("watch=1") != std::string::npos) return FakeTransport::Stream{.stays_open = true};
    const bool first = request.target.find("continue=") == std::string::npos;
    Json page{{"metadata", {{"resourceVersion", "9"}}}, {"items", Json::array()}};
    if (server == Server::kTwoPages) {
      page["metadata"]["resourceVersion"] = "19";
      page["items"].push_back(pod(first ? "x-worker-0" : "x-worker-1"));
      if (first) page["metadata"]["continue"] = "more";
    }
    return kube::HttpResponse{
        .status = server == Server::kRefuses ? 403 : 200, .headers = {}, .body = page.dump()};
  });
  kube::Client client(transport, nullptr, {});
  ClusterCache cache(client,
                     {.namespaces = {}, .on_change = [](auto&&...) {}, .on_problem = [](const auto&) {}});
  cache.start();
  ASSERT_TRUE(cache.wait_synced(deadline_after(seconds(30))));
  EXPECT_TRUE(cache.pods_of("n", "u").empty());
  server = Server::kTwoPages;
  EXPECT_TRUE(cache.catch_up());
  EXPECT_EQ(cache.pods_of("n", "u").size(), 2U);
  server = Server::kRefuses;
  const Status refused = cache.catch_up();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kPermissionDenied);
}

class Kept : public ::testing::Test {
 protected:
  std::shared_ptr<FakeTransport> transport_ = std::make_shared<FakeTransport>();
  kube::Client client_{transport_, nullptr, {}};
  ClusterCache cache_{client_,
                      {.namespaces = {}, .on_change = [](auto&&...) {}, .on_problem = [](const auto&) {}}};
};

TEST_F(Kept, OfAPodWhatAPassReads) {
  cache_.observe_write(kube::kPods, told_pod(true));
  const auto pods = cache_.pods_of("n", "u");
  ASSERT_EQ(pods.size(), 1U);
  EXPECT_EQ(*pods.front(), told_pod(false));
  EXPECT_EQ(*cache_.get(kube::kPods, "n/x-worker-0"), told_pod(false));
}

TEST_F(Kept, OfAPodWithoutANodeWhatASchedulerNeeds) {
  Json pod = told_pod(false);
  pod["spec"]["schedulerName"] = "volcano";
  pod["spec"]["resourceClaims"] = Json::array({{{"name", "gpu"}, {"resourceClaimTemplateName", "one-gpu"}}});
  pod["status"]["resourceClaimStatuses"] = Json::array({{{"name", "gpu"}}});
  const auto kept = [this](const Json& told) {
    cache_.observe_write(kube::kPods, told);
    return *cache_.get(kube::kPods, "n/x-worker-0");
  };
  pod["metadata"]["resourceVersion"] = "7";
  Json placed = told_pod(false);
  placed["metadata"]["resourceVersion"] = "7";
  EXPECT_EQ(kept(pod), placed);
  pod["metadata"]["resourceVersion"] = "8";
  pod["spec"].erase("nodeName");
  EXPECT_EQ(kept(pod), pod);
}

// A list or watch whose objects are no pods at all must not end the operator.
TEST_F(Kept, OfAnOddPodWhatThereIs) {
  for (const char* odd : {R"({"metadata": {"name": "a", "namespace": "n"}})",
                          R"({"metadata": {"name": "a", "namespace": "n", "annotations": 7}, "status": "x"})",
                          R"({"metadata": {"name": "a", "namespace": "n"},
                              "status": {"conditions": {"type": 1}, "containerStatuses": [7, [], null]}})"}) {
    cache_.observe_write(kube::kPods, Json::parse(odd));
    const auto kept = cache_.get(kube::kPods, "n/a");
    ASSERT_NE(kept, nullptr) << odd;
    EXPECT_EQ((*kept)["metadata"]["name"], "a") << odd;
  }
}

}  // namespace
}  // namespace muster::op
