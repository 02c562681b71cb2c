// tests/sim/replica.cc: the operator's parts, put together as operator/shell/operator_app.cc does
#include "replica.h"

#include <prometheus/registry.h>

#include "common/platform/log.h"
#include "operator/core/reconcile_distributed_job.h"
#include "operator/core/reconcile_federated_round.h"
#include "operator/shell/authority_secret.h"
#include "operator/shell/controller.h"

namespace muster::sim {
namespace {

using std::chrono::seconds;

constexpr seconds kStartRetry{2};

Result<op::Decision> decide_job(const Json& object, op::Observed seen) {
  MUSTER_ASSIGN(op::api::DistributedJob job, op::api::distributed_job_from_json(object));
  return op::reconcile(op::ObservedJob{std::move(seen), std::move(job)});
}

Result<op::Decision> decide_round(const Json& object, op::Observed seen) {
  MUSTER_ASSIGN(op::api::FederatedRound round, op::api::federated_round_from_json(object));
  return op::reconcile(op::ObservedRound{std::move(seen), std::move(round)});
}

// Straight to a store, at once.
class DirectTransport final : public kube::HttpTransport {
 public:
  explicit DirectTransport(ApiStore& store) : store_(store) {}
  Result<kube::HttpResponse> send(const kube::HttpRequest& request, Deadline) override {
    return serve(store_, parse_request(request), request.body, store_.version());
  }
  Result<kube::HttpResponse> stream(const kube::HttpRequest&, const kube::StreamOptions&,
                                    const std::function<bool(std::string_view)>&) override {
    return unavailable("nothing is streamed");
  }

 private:
  ApiStore& store_;
};

Json make_authority(WallTime now) {
  ApiStore store([now] { return now; });
  kube::Client client(std::make_shared<DirectTransport>(store), nullptr, {});
  (void)op::load_issuer(client, op::kOperatorNamespace, now);
  return *store.all("secrets").at(0);
}

}  // namespace

const Json& authority_secret(WallTime now) {
  static const Json kSecret = make_authority(now);
  return kSecret;
}

// Declared in an order in which what calls others is gone before them.
struct Replica::Parts {
  Parts(Replica& replica, kube::Client& client_of, const op::Issuer& issuer_of)
      : client(client_of),
        issuer(issuer_of),
        registry(std::make_shared<prometheus::Registry>()),
        metrics(*registry),
        agents({replica.world_.threads, replica.world_.programs, replica.world_.nodes, replica.world_.faults},
               replica.link_,
               [this](const std::string& owner, bool progress) {
                 const auto slash = owner.find('/');
                 op::Controller* controller = of_kind(owner.substr(0, slash));
                 if (controller == nullptr) return;
                 progress ? controller->enqueue_soon(owner.substr(slash + 1))
                          : controller->enqueue_gathered(owner.substr(slash + 1));
               }),
        events(client, "muster-operator"),
        cache(client, cache_options()),
        applier(client, cache, agents, events, issuer, {}),
        nodes(client),
        authority(client, op::kOperatorNamespace, issuer.id()) {
    const op::ControllerParts parts{cache, agents, applier, nodes, issuer, metrics, *registry, [this] {
                                      return authority.confirm(std::chrono::steady_clock::now(),
                                                               std::chrono::system_clock::now());
                                    }};
    const std::tuple<kube::Resource, const char*, op::Controller::Decide> kinds[] = {
        {kube::kDistributedJobs, "distributedjob", decide_job},
        {kube::kFederatedRounds, "federatedround", decide_round}};
    for (const auto& [resource, name, decide] : kinds) {
      controllers.push_back(std::make_unique<op::Controller>(
          parts, op::Controller::Options{.resource = resource,
                                         .name = name,
                                         .workers = 2,
                                         .defaults = {},
                                         .decide = planted_decide(replica.planted_, decide)}));
    }
  }

  op::Controller* of_kind(const std::string& kind) {
    for (const auto& controller : controllers)
      if (controller->resource().kind == kind) return controller.get();
    return nullptr;
  }

  op::ClusterCache::Options cache_options() {
    op::ClusterCache::Options options;
    options.on_problem = [](const std::string&) {};
    options.on_change = [this](const std::string& kind, const std::string& key, bool child) {
      op::Controller* controller = of_kind(kind);
      if (controller == nullptr) return;
      child ? controller->enqueue_gathered(key) : controller->enqueue(key);
    };
    return options;
  }

  kube::Client& client;
  const op::Issuer& issuer;
  std::shared_ptr<prometheus::Registry> registry;
  op::OperatorMetrics metrics;
  ReplicaAgents agents;
  std::vector<std::unique_ptr<op::Controller>> controllers;
  kube::EventRecorder events;
  op::ClusterCache cache;
  op::Applier applier;
  op::NodeHealth nodes;
  op::AuthorityCheck authority;
};

Replica::Replica(World world, Planted planted) : world_(world), planted_(planted) {
  static const bool kQuiet = (init_log("simulation", "off"), true);
  static_cast<void>(kQuiet);
  process_ = world_.threads.spawn([this] { run(); });
  link_->replica = process_;
  if (world_.faults.strikes(Fault::kClockSkew)) world_.threads.set_skew(process_, seconds(4));
}

void Replica::crash() {
  world_.threads.resume(process_);
  world_.network.cut(*link_);
  stopping_ = true;
  world_.threads.wake(&stopping_);
}

void Replica::told(const std::string& uid) {
  if (parts_ != nullptr) parts_->agents.told(uid);
}

void Replica::run() {
  std::stop_source stop;
  kube::Client::Options options;
  options.stop = stop.get_token();
  kube::Client client(planted_transport(planted_, world_.network.connect(link_)), nullptr,
                      std::move(options));
  while (!stopping_) {
    auto issuer = op::load_issuer(client, op::kOperatorNamespace, std::chrono::system_clock::now());
    if (!issuer) {
      world_.threads.wait(&stopping_, world_.threads.now() + kStartRetry);
      continue;
    }
    Parts parts(*this, client, *issuer);
    parts_ = &parts;
    live();
    parts_ = nullptr;
    stop.request_stop();
    for (const auto& controller : parts.controllers) controller->stop();
    return;
  }
}

void Replica::live() {
  parts_->cache.start();
  while (!stopping_ && !parts_->cache.wait_synced(deadline_after(seconds(1)))) {
  }
  if (stopping_) return;
  for (const auto& controller : parts_->controllers) controller->start();
  while (!stopping_) world_.threads.wait(&stopping_);
}

}  // namespace muster::sim
