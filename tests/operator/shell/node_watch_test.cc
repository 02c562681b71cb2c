// tests/operator/shell/node_watch_test.cc: which nodes are bad, and whom that wakes
#include "operator/shell/node_watch.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>

#include "operator/shell/cluster_cache.h"
#include "tests/support/fake_transport.h"

namespace muster::op {
namespace {

using kube::FakeTransport;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Json node(const std::string& name, int version, const char* deadlock, const char* message = "blocked") {
  const Json condition{{"type", "KernelDeadlock"}, {"status", deadlock}, {"message", message}};
  return {{"kind", "Node"},
          {"metadata", {{"name", name}, {"uid", "u-" + name}, {"resourceVersion", std::to_string(version)}}},
          {"status", {{"conditions", Json::array({condition})}}}};
}

std::string event(const char* type, const Json& object) {
  return Json{{"type", type}, {"object", object}}.dump() + "\n";
}

kube::HttpResponse list_of(Json items) {
  const Json list{{"metadata", {{"resourceVersion", "1"}}}, {"items", std::move(items)}};
  return {.status = 200, .headers = {}, .body = list.dump()};
}

const kube::HttpResponse kForbidden{
    .status = 403,
    .headers = {},
    .body = R"({"kind": "Status", "reason": "Forbidden", "code": 403, "message": "cannot list nodes"})"};

class NodeWatching : public ::testing::Test {
 protected:
  NodeWatching() {
    transport_->otherwise([this](const kube::HttpRequest& request) -> FakeTransport::Answer {
      const bool nodes = request.target.find("/nodes") != std::string::npos;
      if (request.target.find("watch=1") != std::string::npos) {
        const std::lock_guard lock(mutex_);
        if (nodes && refused_) return kForbidden;
        return FakeTransport::Stream{.stays_open = true, .feed = nodes ? feed_ : nullptr};
      }
      const std::lock_guard lock(mutex_);
      if (nodes && refused_) return kForbidden;
      const bool pods = request.target.find("/pods") != std::string::npos;
      return list_of(nodes ? nodes_ : pods ? pods_ : Json::array());
    });
  }

  void start() {
    ClusterCache::Options options;
    options.node_problems = *parse_node_problems("KernelDeadlock");
    options.on_change = [this](const std::string&, const std::string& key, bool child) {
      const std::lock_guard lock(mutex_);
      if (child) woken_.push_back(key);
      changed_.notify_all();
    };
    options.on_problem = [this](const std::string& text) {
      const std::lock_guard lock(mutex_);
      problems_.push_back(text);
      changed_.notify_all();
    };
    cache_ = std::make_unique<ClusterCache>(client_, std::move(options));
    cache_->start();
    ASSERT_TRUE(cache_->wait_synced(deadline_after(seconds(20))));
  }
  void add_pod(const std::string& name, const std::string& on, const std::string& avoids = "") {
    Json pod{
        {"kind", "Pod"},
        {"metadata",
         {{"name", name},
          {"namespace", "n"},
          {"uid", "u-" + name},
          {"resourceVersion", "1"},
          {"ownerReferences",
           {{{"kind", "DistributedJob"}, {"name", name}, {"uid", "j-" + name}, {"controller", true}}}}}}};
    if (!on.empty()) pod["spec"]["nodeName"] = on;
    if (!avoids.empty()) pod["metadata"]["annotations"]["muster.dev/avoids"] = avoids;
    pods_.push_back(std::move(pod));
  }
  template <typename Predicate>
  bool wait_for(Predicate predicate) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(30), predicate);
  }
  std::ptrdiff_t count(const std::string& key) const { return std::ranges::count(woken_, key); }
  std::string first_problem() {
    EXPECT_TRUE(wait_for([this] { return !problems_.empty(); }));
    const std::lock_guard lock(mutex_);
    return problems_.empty() ? "" : problems_.front();
  }
  std::vector<std::string> woken() {
    const std::lock_guard lock(mutex_);
    return woken_;
  }
  void forget_woken() {
    const std::lock_guard lock(mutex_);
    woken_.clear();
  }
  std::set<std::string> bad() const {
    std::set<std::string> names;
    for (const auto& [name, problem] : cache_->bad_nodes()) names.insert(name);
    return names;
  }

  Json nodes_ = Json::array(), pods_ = Json::array();
  std::shared_ptr<FakeTransport::Feed> feed_ = std::make_shared<FakeTransport::Feed>();
  std::shared_ptr<FakeTransport> transport_ = std::make_shared<FakeTransport>();
  kube::Client client_{transport_, nullptr, {}};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool refused_ = false;
  std::vector<std::string> woken_, problems_;
  std::unique_ptr<ClusterCache> cache_;  // last: its threads call the others
};

TEST_F(NodeWatching, WakesThePodsOnANodeThatGetsAProblemAndThoseThatKeptAway) {
  nodes_ = {node("a", 1, "False"), node("b", 1, "True")};
  add_pod("on-a", "a");
  add_pod("waits", "", "b");
  add_pod("z-on-c", "c");  // always the last of those that are woken together
  start();
  EXPECT_THAT(bad(), ElementsAre("b"));
  feed_->push(event("MODIFIED", node("c", 2, "True")));
  ASSERT_TRUE(wait_for([this] { return count("n/z-on-c") > 1; })) << "the list of pods has woken it, too";
  forget_woken();
  feed_->push(event("MODIFIED", node("a", 3, "False")));           // its kubelet is alive
  feed_->push(event("MODIFIED", node("b", 4, "True", "longer")));  // no news to anybody
  feed_->push(event("MODIFIED", node("a", 5, "True")));
  ASSERT_TRUE(wait_for([this] { return count("n/waits") > 0; }));
  EXPECT_THAT(woken(), ElementsAre("n/on-a", "n/waits"));
  EXPECT_THAT(bad(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(cache_->bad_nodes().at("b").condition, "KernelDeadlock: longer");
  forget_woken();
  feed_->push(event("MODIFIED", node("c", 6, "False")));
  ASSERT_TRUE(wait_for([this] { return count("n/z-on-c") > 0; }));
  feed_->push(event("DELETED", node("b", 7, "True")));
  ASSERT_TRUE(wait_for([this] { return count("n/waits") > 1; }));
  EXPECT_THAT(bad(), ElementsAre("a"));
}

TEST_F(NodeWatching, WithoutTheRightNothingWaitsAndNoNodeIsBad) {
  refused_ = true;
  start();
  EXPECT_TRUE(cache_->synced());
  EXPECT_THAT(bad(), IsEmpty());
  EXPECT_THAT(first_problem(), HasSubstr("grant list and watch on nodes"));
}

TEST_F(NodeWatching, OneOfAHundredAndOneIsLeftOut) {
  for (int i = 0; i <= 100; ++i) nodes_.push_back(node("node-" + std::to_string(1000 + i), 1, "True"));
  start();
  EXPECT_EQ(bad().size(), kBadNodesMax);
  EXPECT_FALSE(bad().contains("node-1100"));
  EXPECT_THAT(first_problem(), HasSubstr("more than 100 nodes have a problem"));
}

TEST_F(NodeWatching, TolerationsAreKeptOfAPodWhereTheyMayCount) {
  add_pod("tolerant", "a");
  pods_[0]["spec"]["tolerations"] = {{{"operator", "Exists"}},
                                     {{"key", "node.kubernetes.io/not-ready"}, {"operator", "Exists"}}};
  start();
  const auto pod = cache_->get(kube::kPods, "n/tolerant");
  ASSERT_NE(pod, nullptr);
  EXPECT_EQ((*pod)["spec"]["tolerations"], (Json{{{"operator", "Exists"}}}));
}

}  // namespace
}  // namespace muster::op
