// tests/operator/shell/cluster_cache_test.cc: what a replica knows that begins to lead
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
            {"resourceVersion", "7"},
            {"ownerReferences",
             {{{"kind", "DistributedJob"}, {"name", "x"}, {"uid", "u"}, {"controller", true}}}}}}};
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

}  // namespace
}  // namespace muster::op
