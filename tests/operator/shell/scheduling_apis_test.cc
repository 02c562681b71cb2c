// tests/operator/shell/scheduling_apis_test.cc: what is asked of the API server for groups of pods, and when
#include "operator/shell/scheduling_apis.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/support/fake_transport.h"

namespace muster::op {
namespace {

using kube::FakeTransport;
using std::chrono::seconds;

Json job_object() {
  return {{"metadata", {{"name", "x"}, {"namespace", "n"}, {"uid", "u"}}},
          {"spec", {{"workers", {{"replicas", 4}}}}}};
}
Json group_object(const std::string& owner) {
  return {{"kind", "PodGroup"},
          {"metadata",
           {{"name", "x"},
            {"namespace", "n"},
            {"uid", "g"},
            {"resourceVersion", "7"},
            {"ownerReferences",
             {{{"kind", "DistributedJob"}, {"name", "x"}, {"uid", owner}, {"controller", true}}}}}}};
}

class SchedulingApisTest : public ::testing::Test {
 protected:
  SchedulingApisTest() {
    transport_->otherwise([this](const kube::HttpRequest& request) { return answer(request); });
  }
  FakeTransport::Answer answer(const kube::HttpRequest& request) {
    const std::string path = request.target.substr(0, request.target.find('?'));
    if (request.target.find("watch=1") != std::string::npos) return FakeTransport::Stream{.stays_open = true};
    if (const auto found = answers_.find(path); found != answers_.end()) return found->second;
    return json(404, {{"kind", "Status"}, {"code", 404}, {"reason", "NotFound"}, {"message", path}});
  }
  static kube::HttpResponse json(int status, const Json& body) {
    return {.status = status, .headers = {}, .body = body.dump()};
  }
  // "group/version/plural" each.
  void serve(const std::vector<std::string>& apis) {
    std::map<std::string, std::map<std::string, Json>> groups;
    for (const std::string& api : apis) {
      const auto first = api.find('/'), second = api.find('/', first + 1);
      groups[api.substr(0, first)][api.substr(first + 1, second - first - 1)].push_back(
          {{"name", api.substr(second + 1)}});
    }
    Json list = Json::array();
    for (const auto& [group, versions] : groups) {
      Json entry{{"name", group}, {"versions", Json::array()}};
      for (const auto& [version, resources] : versions) {
        entry["versions"].push_back({{"version", version}});
        answers_[fmt::format("/apis/{}/{}", group, version)] = json(200, {{"resources", resources}});
      }
      list.push_back(entry);
    }
    answers_["/apis"] = json(200, {{"groups", list}});
  }
  SchedulingSeen look(const Json& object, std::vector<Pod> pods = {}) {
    Observed seen;
    seen.pods = std::move(pods);
    EXPECT_TRUE(apis_.look(object, subject_, seen));
    return seen.scheduling;
  }
  [[nodiscard]] std::size_t asked() const { return transport_->requests().size(); }
  // Looks until the cache that the first look began has its first list.
  SchedulingSeen wait_for(const Json& object, SeenChild SchedulingSeen::*child) {
    const Deadline deadline = deadline_after(seconds(10));
    SchedulingSeen seen = look(object);
    while (!(seen.*child).known && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
      seen = look(object);
    }
    return seen;
  }
  SeenChild group_of(const Json& object) { return wait_for(object, &SchedulingSeen::group).group; }

  std::map<std::string, kube::HttpResponse> answers_;
  std::shared_ptr<FakeTransport> transport_ = std::make_shared<FakeTransport>();
  kube::Client client_{transport_, nullptr, {}};
  ClusterCache cache_{client_,
                      {.namespaces = {}, .on_change = [](auto&&...) {}, .on_problem = [](const auto&) {}}};
  SchedulingApis apis_{client_, cache_};
  Subject subject_{.resource = kube::kDistributedJobs, .ns = "n", .name = "x", .uid = "u", .generation = 1};
};

TEST_F(SchedulingApisTest, AsksNothingForAnObjectThatNeedsNoGroup) {
  Json none = job_object();
  none["spec"]["scheduling"]["gang"] = "None";
  Json ended = job_object();
  ended["status"]["phase"] = "Succeeded";
  EXPECT_FALSE(look(none).known);
  EXPECT_FALSE(look(ended).known);
  EXPECT_FALSE(look(job_object(), {Pod{}}).known) << "its pods were created without a group";
  subject_.resource = kube::kFederatedRounds;
  EXPECT_FALSE(look(job_object()).known);
  EXPECT_EQ(asked(), 0U);
}

TEST_F(SchedulingApisTest, AsksOnceForManyObjectsThatStartTogether) {
  serve({"scheduling.k8s.io/v1/priorityclasses"});
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(look(job_object()).known);
  EXPECT_EQ(asked(), 1U);
}

TEST_F(SchedulingApisTest, FindsTheNewestShapeOfKubernetesOwnGroups) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"scheduling.k8s.io/v1/priorityclasses"}, ""},
      {{"scheduling.k8s.io/v1beta1/priorityclasses"}, ""},  // as Kubernetes 1.21 has it
      {{"scheduling.k8s.io/v1alpha1/workloads"}, "v1alpha1"},
      {{"scheduling.k8s.io/v1alpha1/workloads", "scheduling.k8s.io/v1alpha2/podgroups"}, "v1alpha2"},
      {{"scheduling.k8s.io/v1alpha2/podgroups", "scheduling.k8s.io/v1beta1/podgroups"}, "v1beta1"},
  };
  for (const auto& [apis, version] : cases) {
    answers_.clear();
    serve(apis);
    SchedulingApis fresh(client_, cache_);
    Observed seen;
    ASSERT_TRUE(fresh.look(job_object(), subject_, seen));
    EXPECT_EQ(seen.scheduling.native.kind ? seen.scheduling.native.kind->version : "", version);
  }
}

TEST_F(SchedulingApisTest, FindsTheGroupsOfOthersBesideOtherKindsOfTheirs) {
  serve({"scheduling.x-k8s.io/v1alpha1/elasticquotas", "scheduling.volcano.sh/v1beta1/queues"});
  EXPECT_FALSE(look(job_object()).scheduler_plugins.kind);
  serve({"scheduling.x-k8s.io/v1alpha1/podgroups", "scheduling.volcano.sh/v1beta1/podgroups"});
  SchedulingApis fresh(client_, cache_);
  Observed seen;
  ASSERT_TRUE(fresh.look(job_object(), subject_, seen));
  EXPECT_TRUE(seen.scheduling.scheduler_plugins.kind);
  EXPECT_TRUE(seen.scheduling.volcano.kind);
}

TEST_F(SchedulingApisTest, WatchesTheGroupsFromWhenAnObjectHasOne) {
  serve({"scheduling.x-k8s.io/v1alpha1/podgroups"});
  Json object = job_object();
  EXPECT_FALSE(look(object).group.known);
  EXPECT_FALSE(cache_.follows({"scheduling.x-k8s.io", "v1alpha1", "podgroups", true, "PodGroup"}));
  const Json page{{"metadata", {{"resourceVersion", "9"}}}, {"items", {group_object("u")}}};
  answers_["/apis/scheduling.x-k8s.io/v1alpha1/namespaces/n/podgroups"] = json(200, page);
  answers_["/apis/scheduling.x-k8s.io/v1alpha1/podgroups"] = json(200, page);
  object["status"]["gang"] = "SchedulerPlugins";
  const SeenChild group = group_of(object);
  ASSERT_NE(group.object, nullptr);
  EXPECT_EQ((*group.object)["metadata"]["uid"], "g");
}

TEST_F(SchedulingApisTest, AGroupOfAnotherObjectOfTheNameIsNotItsOwn) {
  serve({"scheduling.x-k8s.io/v1alpha1/podgroups"});
  const Json page{{"metadata", {{"resourceVersion", "9"}}}, {"items", {group_object("earlier")}}};
  answers_["/apis/scheduling.x-k8s.io/v1alpha1/namespaces/n/podgroups"] = json(200, page);
  answers_["/apis/scheduling.x-k8s.io/v1alpha1/podgroups"] = json(200, page);
  Json object = job_object();
  object["status"]["gang"] = "SchedulerPlugins";
  const SeenChild group = group_of(object);
  EXPECT_TRUE(group.known);
  EXPECT_EQ(group.object, nullptr);
}

TEST_F(SchedulingApisTest, ARightThatIsLackingIsToldAndNothingIsWatched) {
  serve({"scheduling.volcano.sh/v1beta1/podgroups"});
  answers_["/apis/scheduling.volcano.sh/v1beta1/namespaces/n/podgroups"] = json(
      403,
      {{"kind", "Status"}, {"code", 403}, {"reason", "Forbidden"}, {"message", "podgroups is forbidden"}});
  Json object = job_object();
  object["status"]["gang"] = "Volcano";
  const SchedulingSeen seen = look(object);
  EXPECT_FALSE(seen.group.known);
  EXPECT_EQ(seen.volcano.refusal, "list PodGroup: podgroups is forbidden");
  EXPECT_FALSE(cache_.follows({"scheduling.volcano.sh", "v1beta1", "podgroups", true, "PodGroup"}));
  const std::size_t before = asked();
  EXPECT_EQ(look(object).volcano.refusal, "list PodGroup: podgroups is forbidden");
  EXPECT_EQ(asked(), before) << "not asked at each look";
}

TEST_F(SchedulingApisTest, WhatACreateDidNotFindIsAskedForAnew) {
  serve({"scheduling.volcano.sh/v1beta1/podgroups"});
  const SchedulingSeen seen = look(job_object());
  ASSERT_TRUE(seen.volcano.kind);
  answers_.clear();
  serve({"apps/v1/deployments"});
  apis_.refused(*seen.volcano.kind, not_found("the server could not find the requested resource"));
  EXPECT_FALSE(look(job_object()).volcano.kind);
}

TEST_F(SchedulingApisTest, OfAnObjectInAQueueItReadsWorkloadPriorityAndFlavors) {
  serve({"kueue.x-k8s.io/v1beta1/workloads", "kueue.x-k8s.io/v1beta2/workloads"});
  Json object = job_object();
  object["metadata"]["labels"] = {{"kueue.x-k8s.io/queue-name", "team"},
                                  {"kueue.x-k8s.io/priority-class", "high"}};
  const std::string base = "/apis/kueue.x-k8s.io/v1beta2/";
  const auto list = [&](const Json& items) {
    const kube::HttpResponse page = json(200, {{"metadata", {{"resourceVersion", "9"}}}, {"items", items}});
    answers_[base + "namespaces/n/workloads"] = answers_[base + "workloads"] = page;
  };
  answers_[base + "workloadpriorityclasses/high"] = json(200, {{"value", 7}});
  answers_[base + "resourceflavors/spot"] = json(200, {{"spec", {{"nodeLabels", {{"a", "b"}}}}}});
  list(Json::array());
  const SchedulingSeen queued = wait_for(object, &SchedulingSeen::workload);
  EXPECT_EQ(queued.queue.kind->version, "v1beta2");
  EXPECT_EQ(queued.workload.object, nullptr);
  EXPECT_EQ(queued.priority.value, 7);
  Json workload = group_object("u");
  workload["kind"] = "Workload";
  workload["metadata"]["name"] = "distributedjob-x-u";
  workload["metadata"]["resourceVersion"] = "17";  // made after the list
  workload["spec"]["podSets"] = {{{"name", "worker"}, {"count", 4}, {"template", {{"spec", "large"}}}}};
  workload["status"]["admission"]["podSetAssignments"] = {
      {{"name", "worker"}, {"flavors", {{"cpu", "spot"}, {"gpu", "gone"}}}}};
  cache_.observe_write({"kueue.x-k8s.io", "v1beta2", "workloads", true, "Workload"}, workload);
  const SchedulingSeen admitted = look(object);
  ASSERT_NE(admitted.workload.object, nullptr);
  EXPECT_FALSE((*admitted.workload.object)["spec"]["podSets"][0].contains("template")) << "large, and ours";
  EXPECT_EQ(admitted.flavors.at("spot")["spec"]["nodeLabels"]["a"], "b");
  EXPECT_TRUE(admitted.flavors.at("gone").is_null());
  EXPECT_NE(admitted.flavor_problem, "");
  const std::size_t before = asked();
  EXPECT_TRUE(look(object, std::vector<Pod>(4)).flavors.empty()) << "no pod is to be made";
  EXPECT_EQ(asked(), before);
}

TEST_F(SchedulingApisTest, AServerThatDoesNotTellIsNoReasonToStop) {
  answers_["/apis"] =
      json(403, {{"kind", "Status"}, {"code", 403}, {"reason", "Forbidden"}, {"message", "no discovery"}});
  const SchedulingSeen seen = look(job_object());
  EXPECT_FALSE(seen.known);
  EXPECT_EQ(seen.problem, "no discovery");
}

TEST_F(SchedulingApisTest, AServerThatIsAwayFailsThePass) {
  transport_->otherwise([](const kube::HttpRequest&) { return unavailable("connection refused"); });
  Observed seen;
  EXPECT_EQ(apis_.look(job_object(), subject_, seen).error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace muster::op
