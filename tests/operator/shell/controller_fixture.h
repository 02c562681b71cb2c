#pragma once  // tests/operator/shell/controller_fixture.h: a controller between a cache, a client and a core
              // of the test's
#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/json/access.h"
#include "operator/control/agent_client.h"
#include "operator/shell/controller.h"
#include "tests/operator/shell/writes_fixture.h"

namespace muster::op {

using std::chrono::seconds;

inline Json job_object() {
  return {{"apiVersion", "muster.dev/v1alpha1"},
          {"kind", "DistributedJob"},
          {"metadata",
           {{"name", "x"}, {"namespace", "n"}, {"uid", "u"}, {"resourceVersion", "5"}, {"generation", 1}}},
          {"spec", {{"workers", {{"replicas", 1}}}}}};
}
inline Json pod_manifest(const std::string& owner = "u") {
  return {{"kind", "Pod"},
          {"metadata",
           {{"name", "x-worker-0"},
            {"namespace", "n"},
            {"uid", "p"},
            {"resourceVersion", "6"},
            {"labels",
             {{"muster.dev/role", "worker"}, {"muster.dev/index", "0"}, {"muster.dev/incarnation", "1"}}},
            {"ownerReferences",
             {{{"kind", "DistributedJob"}, {"name", "x"}, {"uid", owner}, {"controller", true}}}}}}};
}
inline Json bad_node() {
  return {{"metadata", {{"name", "bad"}, {"uid", "bad"}, {"resourceVersion", "1"}}},
          {"status", {{"conditions", {{{"type", "KernelDeadlock"}, {"status", "True"}}}}}}};
}
inline Json refusal(int code, const std::string& reason) {
  return {{"kind", "Status"}, {"code", code}, {"reason", reason}, {"message", reason}};
}

class ControllerTest : public WritesTest {
 protected:
  ControllerTest() {
    lists_->otherwise([this](const kube::HttpRequest& request) -> FakeTransport::Answer {
      if (request.target.find("watch=1") != std::string::npos)
        return FakeTransport::Stream{.stays_open = true};
      if (request.target.ends_with("/pods/x-worker-0"))
        return kube::HttpResponse{.status = 200, .headers = {}, .body = pod_at_server_.dump()};
      Json list{{"metadata", {{"resourceVersion", "1"}}}, {"items", Json::array()}};
      if (request.target.find("/nodes") != std::string::npos) list["items"].push_back(bad_node());
      return kube::HttpResponse{.status = 200, .headers = {}, .body = list.dump()};
    });
    cache_.start();
    EXPECT_TRUE(cache_.wait_synced(deadline_after(seconds(10))));
    cache_.observe_write(kube::kDistributedJobs, job_object());
    Controller::Options options;
    options.resource = kube::kDistributedJobs;
    options.name = "distributedjob";
    options.decide = [this](const Json&, Observed seen) -> Result<Decision> {
      seen_ = std::move(seen);
      ++decided_;
      return decision_;
    };
    ControllerParts parts{cache_, agents_, applier_, nodes_, issuer_, metrics_, registry_};
    parts.confirm_authority = [this](AuthorityDoubt doubt) {
      doubts_.push_back(doubt);
      return authority_;
    };
    controller_ = std::make_unique<Controller>(parts, std::move(options));
  }
  Controller::Outcome pass() { return controller_->reconcile("n/x"); }

  std::shared_ptr<FakeTransport> lists_ = std::make_shared<FakeTransport>();
  kube::Client list_client_{lists_, nullptr, {}};
  prometheus::Registry registry_;
  OperatorMetrics metrics_{registry_};
  AgentClient agents_{AgentClient::Options{.credentials = issuer_.credentials()}};
  ClusterCache cache_{list_client_,
                      {.namespaces = {},
                       .node_problems = *parse_node_problems("KernelDeadlock"),
                       .on_change = [](auto&&...) {},
                       .on_problem = [](const auto&) {}}};
  Applier applier_{client_, cache_, agents_, *events_, issuer_, {}};
  NodeHealth nodes_{client_};
  std::vector<AuthorityDoubt> doubts_;
  Status authority_;    // what confirm_authority answers
  Json pod_at_server_;  // what a look at one pod finds
  Decision decision_;
  int decided_ = 0;
  Observed seen_;
  std::unique_ptr<Controller> controller_;
};

}  // namespace muster::op
