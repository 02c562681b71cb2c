// tests/operator/shell/controller_passes_test.cc: which passes there are: through informers, the queue and
// real Agents on loopback
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <thread>

#include "common/json/access.h"
#include "operator/control/agent_client.h"
#include "operator/shell/controller.h"
#include "tests/operator/shell/fake_agent.h"
#include "tests/support/fake_transport.h"

namespace muster::op {
namespace {

using kube::FakeTransport;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

Json job(const std::string& name) {
  return {
      {"apiVersion", "muster.dev/v1alpha1"},
      {"kind", "DistributedJob"},
      {"metadata", {{"name", name}, {"namespace", "n"}, {"uid", "uid-" + name}, {"resourceVersion", "5"}}},
      {"spec", {{"workers", {{"replicas", 1}}}}}};
}

Json pod(const std::string& of_job, int index, int version, const std::string& phase) {
  return {
      {"kind", "Pod"},
      {"metadata",
       {{"name", of_job + "-worker-" + std::to_string(index)},
        {"namespace", "n"},
        {"uid", "pod-" + std::to_string(index)},
        {"resourceVersion", std::to_string(version)},
        {"ownerReferences",
         {{{"kind", "DistributedJob"}, {"name", of_job}, {"uid", "uid-" + of_job}, {"controller", true}}}}}},
      {"status", {{"phase", phase}}}};
}

std::string event(const char* type, const Json& object) {
  return Json{{"type", type}, {"object", object}}.dump() + "\n";
}

class ControllerPasses : public ::testing::Test {
 protected:
  ControllerPasses() {
    lists_->otherwise([this](const kube::HttpRequest& request) -> FakeTransport::Answer {
      if (request.target.find("watch=1") == std::string::npos) {
        const Json empty{{"metadata", {{"resourceVersion", "1"}}}, {"items", Json::array()}};
        return kube::HttpResponse{.status = 200, .headers = {}, .body = empty.dump()};
      }
      const bool jobs = request.target.find("/distributedjobs") != std::string::npos;
      const bool pods = request.target.find("/pods") != std::string::npos;
      return FakeTransport::Stream{.stays_open = true, .feed = jobs ? jobs_ : pods ? pods_ : nullptr};
    });
    writes_->otherwise([](const kube::HttpRequest& request) -> FakeTransport::Answer {
      return kube::HttpResponse{.status = 201, .headers = {}, .body = request.body};
    });
    Controller::Options options;
    options.resource = kube::kDistributedJobs;
    options.name = "distributedjob";
    options.workers = 2;
    options.decide = [this](const Json& object, Observed seen) { return decide(object, std::move(seen)); };
    controller_ = std::make_unique<Controller>(
        ControllerParts{cache_, agents_, applier_, nodes_, issuer_, metrics_, registry_}, std::move(options));
    cache_.start();
    EXPECT_TRUE(cache_.wait_synced(deadline_after(seconds(10))));
    controller_->start();
  }
  ~ControllerPasses() override { controller_->stop(); }

  AgentClient::Options agent_options() {
    AgentClient::Options options{.credentials = shared_test_pki().of_operator()};
    options.port = agent_.port();
    return options;
  }
  ClusterCache::Options cache_options() {
    ClusterCache::Options options;
    options.on_problem = [](const std::string&) {};
    options.on_change = [this](const std::string&, const std::string& key, bool child) {
      child ? controller_->enqueue_gathered(key) : controller_->enqueue(key);
    };
    return options;
  }
  bool wait_until_gone(const std::string& key) {
    const auto limit = steady_clock::now() + seconds(10);
    while (cache_.get(kube::kDistributedJobs, key) != nullptr) {
      if (steady_clock::now() > limit) return false;
      std::this_thread::yield();
    }
    return true;
  }
  Result<Decision> decide(const Json& object, Observed seen) {
    std::unique_lock lock(mutex_);
    ++passes_;
    pods_read_ += seen.pods.size();
    const std::string name = text(member(object, "metadata", "name"));
    ++passes_of_[name];
    seen_[name] = std::move(seen);
    const auto script = decide_;
    changed_.notify_all();
    lock.unlock();
    return script ? script(name) : Decision{};
  }
  template <typename Predicate>
  bool wait_for_pass(Predicate predicate) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(30), predicate);
  }

  FakeAgent agent_;
  std::shared_ptr<FakeTransport::Feed> jobs_ = std::make_shared<FakeTransport::Feed>();
  std::shared_ptr<FakeTransport::Feed> pods_ = std::make_shared<FakeTransport::Feed>();
  std::shared_ptr<FakeTransport> lists_ = std::make_shared<FakeTransport>();
  std::shared_ptr<FakeTransport> writes_ = std::make_shared<FakeTransport>();
  kube::Client list_client_{lists_, nullptr, {}};
  kube::Client client_{writes_, nullptr, {}};
  prometheus::Registry registry_;
  OperatorMetrics metrics_{registry_};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<Decision(const std::string& name)> decide_;
  std::map<std::string, Observed> seen_;
  std::size_t passes_ = 0;
  std::map<std::string, int> passes_of_;
  std::size_t pods_read_ = 0;
  std::unique_ptr<Controller> controller_;
  Issuer issuer_ = *Issuer::load(*Issuer::make_secrets(std::chrono::system_clock::now()),
                                 std::chrono::system_clock::now());
  AgentClient agents_{agent_options()};
  kube::EventRecorder events_{client_, "test"};
  ClusterCache cache_{list_client_, cache_options()};
  Applier applier_{client_, cache_, agents_, events_, issuer_, {}};
  NodeHealth nodes_{client_};
};

TEST_F(ControllerPasses, PodsOfAnObjectThatIsDeletedDuringItsPassAreNotFollowed) {
  decide_ = [this](const std::string&) {
    jobs_->push(event("DELETED", job("x")));
    EXPECT_TRUE(wait_until_gone("n/x"));
    Decision decision;
    decision.agents = {{.pod = "x-worker-0", .uid = "p", .ip = "127.0.0.1", .peer = {"worker", 0, "u"}}};
    decision.actions = {CreateService{{{"metadata", {{"name", "x"}, {"namespace", "n"}}}}}};
    return decision;
  };
  writes_->otherwise([this](const kube::HttpRequest& request) -> FakeTransport::Answer {
    EXPECT_TRUE(agent_.wait_watches(1)) << "the pass under way has dialled";
    return kube::HttpResponse{.status = 201, .headers = {}, .body = request.body};
  });
  jobs_->push(event("ADDED", job("x")));
  ASSERT_TRUE(writes_->wait_for_requests(1));
  controller_->stop();
  controller_->reconcile("n/x");  // the pass of the deletion, if the stop came before it
  EXPECT_FALSE(agents_.status("p"));
  EXPECT_TRUE(agent_.wait_watches(0));
}

TEST_F(ControllerPasses, PodsThatDoNotAnswerConfigureHoldUpNoOtherJob) {
  agent_.hold_configures();
  decide_ = [](const std::string& name) {
    Decision decision;
    if (name.starts_with("bad")) {
      decision.agents = {{.pod = name, .uid = name, .ip = "127.0.0.1", .peer = {"worker", 0, "u"}}};
      decision.actions = {ConfigurePod{.pod = name, .uid = name, .ip = "127.0.0.1", .common = {}}};
    } else {
      decision.actions = {CreateService{{{"metadata", {{"name", name}, {"namespace", "n"}}}}}};
    }
    return decision;
  };
  for (int i = 0; i < 2; ++i) jobs_->push(event("ADDED", job("bad-" + std::to_string(i))));
  ASSERT_TRUE(agent_.wait_configures(2));  // as many as there are workers
  const auto before = steady_clock::now();
  for (int i = 0; i < 50; ++i) jobs_->push(event("ADDED", job("good-" + std::to_string(i))));
  EXPECT_TRUE(writes_->wait_for_requests(50));
  EXPECT_LT(steady_clock::now() - before, seconds(2)) << "a call of Configure has five";
}

class FailingPass : public ControllerPasses, public ::testing::WithParamInterface<int> {};

TEST_P(FailingPass, IsNotHurriedByProgress) {
  decide_ = [](const std::string& name) {
    Decision decision;
    if (name == "failing") decision.actions = {PatchStatus{{{"status", {{"restarts", 1}}}}}};
    return decision;
  };
  writes_->otherwise([](const kube::HttpRequest&) -> FakeTransport::Answer {
    return kube::HttpResponse{.status = GetParam(), .headers = {}, .body = R"({"kind": "Status"})"};
  });
  const auto began = steady_clock::now();
  jobs_->push(event("ADDED", job("failing")));
  ASSERT_TRUE(writes_->wait_for_requests(1));
  jobs_->push(event("ADDED", job("fine")));
  ASSERT_TRUE(wait_for_pass([&] { return passes_of_["fine"] > 0; }));
  for (int message = 0; message < 12; ++message) {
    controller_->enqueue_soon("n/failing");
    controller_->enqueue_soon("n/fine");
    ASSERT_TRUE(wait_for_pass([&] { return passes_of_["fine"] >= message + 2; }));
  }
  const std::lock_guard lock(mutex_);
  int retries = 0;  // after 1 s, 3 s, 7 s, ...
  for (auto due = seconds(1); due <= steady_clock::now() - began; due = due * 2 + seconds(1)) ++retries;
  EXPECT_LE(passes_of_["failing"], 2 + retries) << "with 12 messages of a pod";
}
INSTANTIATE_TEST_SUITE_P(Codes, FailingPass, ::testing::Values(403, 500));

TEST_F(ControllerPasses, NewsWaitWhileTheServerIsAwayAndLandSoonAfterItsReturn) {
  std::atomic<bool> away = true;
  std::atomic<int> landed = 0;
  decide_ = [](const std::string&) {
    Decision decision;
    decision.actions = {PatchStatus{{{"status", {{"restarts", 1}}}}}};
    return decision;
  };
  writes_->otherwise([&](const kube::HttpRequest& request) -> FakeTransport::Answer {
    if (away) return unavailable("no connection");
    ++landed;
    return kube::HttpResponse{.status = 200, .headers = {}, .body = request.body};
  });
  const std::vector<std::string> names{"a", "b", "c"};
  const auto began = steady_clock::now();
  for (const std::string& name : names) jobs_->push(event("ADDED", job(name)));
  ASSERT_TRUE(writes_->wait_for_requests(1));
  for (int message = 1; message <= 10; ++message) {
    for (const std::string& name : names) {
      controller_->enqueue_soon("n/" + name);
      controller_->enqueue_gathered("n/" + name);
    }
    ASSERT_TRUE(wait_for_pass([&] { return passes_of_["a"] > message; }));
  }
  // In each pause of 250 ms, 500 ms, ... one asks; two more were on their way at the start.
  int asks = 0;
  for (auto due = milliseconds(0), pause = milliseconds(250); due <= steady_clock::now() - began;
       pause *= 2) {
    ++asks;
    due += std::min(pause, Outage::kPauseMax);
  }
  EXPECT_LE(writes_->requests().size(), static_cast<std::size_t>(asks) + 2);
  away = false;
  const auto back = steady_clock::now();
  while (landed < 3 && steady_clock::now() < back + seconds(30)) std::this_thread::yield();
  EXPECT_GE(landed, 3);
  EXPECT_LT(steady_clock::now() - back, Outage::kPauseMax * 2 + seconds(2)) << "not after a minute";
}

TEST_F(ControllerPasses, AThousandPodsThatStartAreNotReadForEachOfThem) {
  constexpr int kPods = 1000;
  jobs_->push(event("ADDED", job("x")));
  const auto before = steady_clock::now();
  int version = 10;
  for (const char* phase : {"Pending", "Pending", "Running", "Running"}) {
    for (int i = 0; i < kPods; ++i, ++version)
      pods_->push(event(version < 10 + kPods ? "ADDED" : "MODIFIED", pod("x", i, version, phase)));
  }
  ASSERT_TRUE(wait_for_pass([&] {
    const auto& pods = seen_["x"].pods;
    return pods.size() == kPods && std::all_of(pods.begin(), pods.end(), [](const Pod& each) {
             return each.phase == PodPhase::kRunning;
           });
  }));
  const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - before);
  const std::lock_guard lock(mutex_);
  RecordProperty("passes", static_cast<int>(passes_));
  RecordProperty("pods_read", static_cast<int>(pods_read_));
  EXPECT_LE(passes_, static_cast<std::size_t>(took / milliseconds(20)) + 3) << "in " << took.count() << " ms";
  EXPECT_LE(pods_read_, 100U * kPods);
}

}  // namespace
}  // namespace muster::op
