// tests/kube/leader_elector_test.cc: the thread that campaigns, over the HTTP client
#include "kube/leader_elector.h"

#include <gtest/gtest.h>

#include <condition_variable>

#include "common/json/access.h"
#include "common/json/read_json.h"
#include "tests/support/fake_transport.h"

namespace muster::kube {
namespace {

using std::chrono::seconds;
using Standing = LeaderElector::Standing;

constexpr const char* kPath = "/apis/coordination.k8s.io/v1/namespaces/muster-system/leases";

class LeaderElectorTest : public ::testing::Test {
 protected:
  LeaderElectorTest() {
    transport_->otherwise([this](const HttpRequest& request) -> FakeTransport::Answer {
      const std::lock_guard lock(mutex_);
      if (request.method != "GET") lease_ = request.body;
      if (!refusal_.empty()) return HttpResponse{.status = 403, .headers = {}, .body = refusal_};
      return HttpResponse{.status = lease_.empty() ? 404 : 200, .headers = {}, .body = lease_};
    });
  }
  bool becomes(Standing standing) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(10), [&] { return elector_.standing() == standing; });
  }
  Json lease() {
    const std::lock_guard lock(mutex_);
    return read_json(lease_);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string lease_, refusal_;
  std::vector<std::string> problems_;
  std::shared_ptr<FakeTransport> transport_ = std::make_shared<FakeTransport>();
  Client client_{transport_, nullptr, {}};
  LeaderElector elector_{client_,
                         {.election = {.ns = "muster-system", .name = "lease", .identity = "me"},
                          .on_change =
                              [this] {
                                const std::lock_guard lock(mutex_);
                                changed_.notify_all();
                              },
                          .on_problem =
                              [this](const std::string& text) {
                                const std::lock_guard lock(mutex_);
                                problems_.push_back(text);
                                changed_.notify_all();
                              }}};
};

TEST_F(LeaderElectorTest, LeadsOverALeaseThatIsNotThereAndGivesItBack) {
  EXPECT_FALSE(elector_.leads());
  EXPECT_TRUE(elector_.healthy());
  elector_.start();
  ASSERT_TRUE(becomes(Standing::kLeading));
  EXPECT_TRUE(elector_.seen());
  EXPECT_EQ(elector_.holder(), "me");
  const auto requests = transport_->requests();
  EXPECT_EQ(requests[0].method + " " + requests[0].target, std::string("GET ") + kPath + "/lease");
  EXPECT_EQ(requests[1].method + " " + requests[1].target, std::string("POST ") + kPath);
  elector_.resign();
  EXPECT_FALSE(elector_.leads());
  EXPECT_EQ(transport_->requests().back().method, "PUT");
  EXPECT_EQ(text(member(lease(), "spec", "holderIdentity")), "");
  EXPECT_TRUE(elector_.healthy());
}

TEST_F(LeaderElectorTest, TheTokenLastsTenSecondsAndAWriteFiveMore) {
  elector_.start();
  ASSERT_TRUE(becomes(Standing::kLeading));
  const auto until = elector_.may_write();
  ASSERT_TRUE(until);
  EXPECT_LE(*until, std::chrono::steady_clock::now() + seconds(15));
  EXPECT_GE(*until, std::chrono::steady_clock::now() + seconds(5));
}

TEST_F(LeaderElectorTest, WithoutTheTokenAClientSendsGetsOnly) {
  const auto other = std::make_shared<FakeTransport>();
  Client::Options options;
  options.may_write = [this] { return elector_.may_write(); };
  Client client(other, nullptr, std::move(options));
  const auto refused = client.create(kPods, "n", Json{{"metadata", {{"name", "p"}}}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kCancelled);
  EXPECT_NE(refused.error().message.find("does not hold Lease muster-system/lease"), std::string::npos);
  EXPECT_FALSE(client.remove(kPods, "n", "p"));
  EXPECT_TRUE(other->requests().empty());
  EXPECT_EQ(client.get(kPods, "n", "p").error().code, Code::kNotFound);
  elector_.start();
  ASSERT_TRUE(becomes(Standing::kLeading));
  other->will_json(201, Json{{"kind", "Pod"}});
  EXPECT_TRUE(client.create(kPods, "n", Json{{"metadata", {{"name", "p"}}}}));
}

TEST(LeaderClient, AsksBeforeEachTryOfAWrite) {
  const auto transport = std::make_shared<FakeTransport>();
  transport->will_json(429, Json{{"kind", "Status"}, {"code", 429}}, {{"Retry-After", "1"}});
  int asked = 0;
  Client::Options options;
  options.sleep = [](std::chrono::milliseconds) {};
  options.may_write = [&]() -> Result<Deadline> {
    if (++asked == 1) return std::chrono::steady_clock::now() + seconds(5);
    return Error{Code::kCancelled, "over"};
  };
  Client client(transport, nullptr, std::move(options));
  EXPECT_EQ(client.patch(kPods, "n", "p", PatchType::kMerge, Json::object()).error().code, Code::kCancelled);
  EXPECT_EQ(transport->requests().size(), 1U);
}

TEST_F(LeaderElectorTest, AMissingRightIsToldOnceWithTheRemedy) {
  refusal_ = R"({"kind":"Status","code":403,"reason":"Forbidden","message":"leases is forbidden"})";
  elector_.start();
  std::unique_lock lock(mutex_);
  ASSERT_TRUE(changed_.wait_for(lock, seconds(10), [&] { return !problems_.empty(); }));
  EXPECT_NE(problems_[0].find("create leases.coordination.k8s.io in muster-system"), std::string::npos)
      << problems_[0];
  EXPECT_FALSE(elector_.seen());
}

}  // namespace
}  // namespace muster::kube
