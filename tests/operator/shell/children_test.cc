// tests/operator/shell/children_test.cc: creates side by side, in their order, and names that are taken
#include "operator/shell/children.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "tests/operator/shell/writes_fixture.h"

namespace muster::op {
namespace {

using std::chrono::seconds;

Json manifest(const std::string& kind, const std::string& name, const std::string& uid = "") {
  Json object{{"kind", kind},
              {"metadata", {{"name", name}, {"namespace", "n"}, {"uid", uid}, {"resourceVersion", "7"}}}};
  Json& labels = object["metadata"]["labels"];
  labels = {{"app.kubernetes.io/managed-by", "muster"},
            {"muster.dev/job-kind", "DistributedJob"},
            {"muster.dev/job-name", "x"},
            {"muster.dev/job-uid", uid.empty() ? "u" : "earlier"}};
  if (uid.empty())
    object["metadata"]["ownerReferences"] = {
        {{"kind", "DistributedJob"}, {"name", "x"}, {"uid", "u"}, {"controller", true}}};
  return object;
}
Json status(int code, const std::string& reason) {
  return {{"kind", "Status"}, {"code", code}, {"reason", reason}, {"message", reason}};
}
CreatePod pod(int index) {
  return CreatePod{.manifest = manifest("Pod", "x-worker-" + std::to_string(index))};
}
CreateCredentials keys(int block) {
  return CreateCredentials{.manifest = {{"metadata", {{"name", "keys-" + std::to_string(block)}}}},
                           .role = "worker",
                           .first = block,
                           .count = 1};
}

// Answers what is asked; each request for a pod waits until `meet` are under way at once, or for a while.
class MeetingTransport final : public kube::HttpTransport {
 public:
  explicit MeetingTransport(int meet) : meet_(meet) {}
  Result<kube::HttpResponse> send(const kube::HttpRequest& request, Deadline) override {
    std::unique_lock lock(mutex_);
    order_.push_back(request.target);
    most_ = std::max(most_, ++under_way_);
    changed_.notify_all();
    if (request.target.find("/pods") != std::string::npos)
      changed_.wait_for(lock, seconds(10), [this] { return most_ >= meet_; });
    --under_way_;
    return kube::HttpResponse{.status = 201, .headers = {}, .body = request.body};
  }
  Result<kube::HttpResponse> stream(const kube::HttpRequest&, const kube::StreamOptions&,
                                    const std::function<bool(std::string_view)>&) override {
    return internal_error("no streams here");
  }
  [[nodiscard]] int most() {
    const std::lock_guard lock(mutex_);
    return most_;
  }
  [[nodiscard]] std::vector<std::string> order() {
    const std::lock_guard lock(mutex_);
    return order_;
  }

 private:
  const int meet_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> order_;
  int under_way_ = 0;
  int most_ = 0;
};

class ChildrenTest : public WritesTest {
 protected:
  Status create(const std::vector<Action>& actions) {
    applied_ = {};
    return children_.create(subject_, actions, applied_);
  }

  ClusterCache cache_{client_,
                      {.namespaces = {}, .on_change = [](auto&&...) {}, .on_problem = [](const auto&) {}}};
  Lanes lanes_{3};
  Children children_{client_, cache_, *events_, issuer_, lanes_};
  Subject subject_{.resource = kube::kDistributedJobs, .ns = "n", .name = "x", .uid = "u", .generation = 1};
  ApplyResult applied_;
};

TEST_F(ChildrenTest, AnOrphanOfAnEarlierObjectOfTheNameIsReplaced) {
  for (const auto& [action, path] : {std::pair<Action, std::string>{pod(0), "pods/x-worker-0"},
                                     {CreateService{manifest("Service", "x")}, "services/x"}}) {
    const std::size_t before = asked().size();
    const Json orphan =
        manifest(path.starts_with("pods") ? "Pod" : "Service", path.substr(path.find('/') + 1), "old");
    writes_->will_json(409, status(409, "AlreadyExists"));
    writes_->will_json(200, orphan);
    writes_->will_json(200, {{"items", {{{"metadata", {{"name", "x"}, {"uid", "u"}}}}}}});
    writes_->will_json(200, orphan);
    EXPECT_FALSE(create({action}));
    ASSERT_TRUE(applied_.obstacle);
    EXPECT_EQ(applied_.obstacle->kind, Obstacle::Kind::kPredecessor)
        << "looked at again soon, without a warning";
    ASSERT_EQ(asked().size(), before + 4);
    EXPECT_EQ(asked()[before + 2],
              "GET /apis/muster.dev/v1alpha1/namespaces/n/distributedjobs?fieldSelector=metadata.name%3Dx");
    EXPECT_EQ(asked()[before + 3], "DELETE /api/v1/namespaces/n/" + path);
    const Json preconditions = Json::parse(writes_->requests()[before + 3].body)["preconditions"];
    EXPECT_EQ(preconditions, (Json{{"uid", "old"}, {"resourceVersion", "7"}})) << "as it was judged";
  }
  events_.reset();
  ASSERT_FALSE(event_writes_->requests().empty());
  EXPECT_NE(event_writes_->requests()[0].body.find("OrphanReplaced"), std::string::npos);
}

// Those beyond the number of pods that the object makes meet no create.
TEST_F(ChildrenTest, AllOrphansOfTheNameGoWithTheFirst) {
  Json beyond = manifest("Pod", "x-worker-7", "old-7");
  Json others = manifest("Pod", "y-worker-0", "other");
  others["metadata"]["labels"]["muster.dev/job-name"] = "y";
  for (const Json& pod : {beyond, others}) cache_.observe_write(kube::kPods, pod);
  const Json orphan = manifest("Pod", "x-worker-0", "old");
  writes_->will_json(409, status(409, "AlreadyExists"));
  writes_->will_json(200, orphan);
  writes_->will_json(200, {{"items", {{{"metadata", {{"name", "x"}, {"uid", "u"}}}}}}});
  writes_->will_json(200, orphan);
  writes_->will_json(200, beyond);
  EXPECT_FALSE(create({pod(0)}));
  ASSERT_EQ(asked().size(), 5U);
  EXPECT_EQ(asked()[3], "DELETE /api/v1/namespaces/n/pods/x-worker-0");
  EXPECT_EQ(asked()[4], "DELETE /api/v1/namespaces/n/pods/x-worker-7");
}

TEST_F(ChildrenTest, NothingIsDeletedForAnObjectThatIsGoneOrGoing) {
  const Json going{{"name", "x"}, {"uid", "u"}, {"deletionTimestamp", "2030-01-01T00:00:00Z"}};
  const Json another{{"name", "x"}, {"uid", "v"}};
  for (const Json& items :
       {Json::array(), Json::array({{{"metadata", going}}}), Json::array({{{"metadata", another}}})}) {
    writes_->will_json(409, status(409, "AlreadyExists"));
    writes_->will_json(200, manifest("Pod", "x-worker-0", "old"));
    writes_->will_json(200, {{"items", items}});
    EXPECT_EQ(create({pod(0)}).error().code, Code::kAborted);
    EXPECT_FALSE(applied_.obstacle);
  }
  EXPECT_EQ(asked().size(), 9U);
}

TEST_F(ChildrenTest, WhatIsNotOfTheObjectsNameIsLeftAlone) {
  Json others_child = manifest("Pod", "x-worker-0", "old");
  others_child["metadata"]["labels"]["muster.dev/job-name"] = "x-worker";
  Json stranger = manifest("Pod", "x-worker-0", "old");
  stranger["metadata"].erase("labels");
  Json adopted = manifest("Pod", "x-worker-0", "old");
  adopted["metadata"]["ownerReferences"] = {
      {{"kind", "ReplicaSet"}, {"name", "r"}, {"uid", "r"}, {"controller", true}}};
  for (const Json& existing : {others_child, stranger, adopted}) {
    writes_->will_json(409, status(409, "AlreadyExists"));
    writes_->will_json(200, existing);
    EXPECT_FALSE(create({pod(0)}));
    ASSERT_TRUE(applied_.obstacle);
    EXPECT_EQ(applied_.obstacle->kind, Obstacle::Kind::kNameTaken);
  }
  EXPECT_EQ(asked().size(), 6U);
}

TEST_F(ChildrenTest, ARefusalIsNotMetByAThousandPods) {
  writes_->otherwise([](const kube::HttpRequest&) -> FakeTransport::Answer {
    return kube::HttpResponse{.status = 403, .headers = {}, .body = status(403, "exceeded quota").dump()};
  });
  std::vector<Action> pods;
  pods.reserve(1000);
  for (int i = 0; i < 1000; ++i) pods.emplace_back(pod(i));
  EXPECT_EQ(create(pods).error().code, Code::kPermissionDenied);
  ASSERT_TRUE(applied_.obstacle);
  EXPECT_EQ(applied_.obstacle->kind, Obstacle::Kind::kRefused);
  EXPECT_EQ(applied_.pods_created, 0);
  EXPECT_LE(asked().size(), 4U);
}

TEST_F(ChildrenTest, OfABatchWhatWentWellIsCountedAndTheFirstFailureTold) {
  writes_->otherwise([](const kube::HttpRequest& request) -> FakeTransport::Answer {
    if (request.body.find("x-worker-2") != std::string::npos)
      return kube::HttpResponse{.status = 500, .headers = {}, .body = status(500, "broken").dump()};
    return kube::HttpResponse{.status = 201, .headers = {}, .body = request.body};
  });
  EXPECT_EQ(create({pod(0), pod(1), pod(2), pod(3), pod(4)}).error().code, Code::kInternal);
  EXPECT_EQ(applied_.pods_created, 3);
  EXPECT_EQ(asked().size(), 4U) << "the fifth is left for the next pass";
}

TEST_F(ChildrenTest, PodsAreCreatedSideBySideAfterTheirSecrets) {
  auto transport = std::make_shared<MeetingTransport>(4);  // three lanes and the pass itself
  kube::Client client(transport, nullptr, {});
  Children children(client, cache_, *events_, issuer_, lanes_);
  const std::vector<Action> actions{keys(0), pod(0), pod(1), keys(1), pod(2), pod(3), pod(4)};
  ASSERT_TRUE(children.create(subject_, actions, applied_));
  EXPECT_EQ(transport->most(), 4);
  EXPECT_EQ(applied_.pods_created, 5);
  const auto order = transport->order();
  ASSERT_EQ(order.size(), 7U);
  for (std::size_t i = 0; i < 7; ++i)
    EXPECT_EQ(order[i].find("/secrets") != std::string::npos, i < 2) << i << " " << order[i];
}

TEST(Lanes, TheFirstExceptionOfAPieceIsTheCallersOnceAllHaveEnded) {
  Lanes lanes(2);
  std::atomic<int> ended = 0;
  EXPECT_THROW(lanes.run(10,
                         [&](std::size_t piece) {
                           ++ended;
                           if (piece % 2 == 0) throw std::runtime_error("x");
                         }),
               std::runtime_error);
  EXPECT_EQ(ended, 10);
}

TEST(Lanes, ManyBatchesAtOnceEachRunWhole) {
  Lanes lanes(3);
  std::vector<std::jthread> callers;
  std::array<std::atomic<int>, 8> sums{};
  for (std::size_t caller = 0; caller < sums.size(); ++caller) {
    callers.emplace_back([&, caller] {
      for (int round = 0; round < 50; ++round)
        lanes.run(20, [&](std::size_t piece) { sums[caller] += static_cast<int>(piece); });
    });
  }
  callers.clear();
  for (const auto& sum : sums) EXPECT_EQ(sum, 50 * 190);
}

}  // namespace
}  // namespace muster::op
