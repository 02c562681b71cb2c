// tests/sim/replica.cc: caches, an election and terms, as operator/shell/operator_app.cc has them
#include "replica.h"

#include <prometheus/registry.h>

#include "common/platform/log.h"
#include "common/platform/mutex.h"
#include "kube/leader_elector.h"
#include "objects.h"
#include "operator/shell/term.h"

namespace muster::sim {
namespace {

using std::chrono::seconds;

constexpr seconds kStartRetry{2};
constexpr seconds kHousekeeping{10};
constexpr Nanos kSkews[] = {seconds(4), seconds(-4)};  // of the wall clocks of even and odd replicas

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
  (void)op::load_issuer(client, kOwnNamespace, now);
  return *store.all("secrets").at(0);
}

}  // namespace

const Json& authority_secret(WallTime now) {
  static const Json kSecret = make_authority(now);
  return kSecret;
}

// What operator/shell/operator_app.cc has besides a server of metrics and signals. Declared in an order in
// which what calls others is gone before them.
struct Replica::Parts {
  Parts(Replica& replica, std::shared_ptr<kube::HttpTransport> transport_of)
      : transport(std::move(transport_of)),
        registry(std::make_shared<prometheus::Registry>()),
        metrics(*registry),
        client(transport, nullptr, options()),
        lease_client(transport, nullptr, lease_options()),
        cache(client, {.namespaces = {},
                       .node_problems = *op::parse_node_problems(kNodeProblem),
                       .on_change =
                           [this](const std::string& kind, const std::string& key, bool child) {
                             const MutexLock lock(mutex);
                             if (listener != nullptr) listener->changed(kind, key, child);
                           },
                       .on_problem = [](const std::string&) {}}) {
    if (!replica.elects_) return;
    elector = std::make_unique<kube::LeaderElector>(
        lease_client,
        kube::LeaderElector::Options{.election = {.ns = kOwnNamespace,
                                                  .name = kLeaseName,
                                                  .identity = identity_of(replica.process_),
                                                  .seed = static_cast<std::uint64_t>(replica.process_)},
                                     .on_change =
                                         [&replica] {
                                           replica.news_ = true;
                                           replica.world_.threads.wake(&replica.news_);
                                         },
                                     .on_problem = {}});
  }

  kube::Client::Options options() {
    kube::Client::Options options;
    options.stop = stopping.get_token();
    return options;
  }
  kube::Client::Options lease_options() {
    kube::Client::Options of_lease = options();
    of_lease.request_timeout = kube::LeaderElector::kRequestTimeout;
    return of_lease;
  }
  std::function<Result<Deadline>()> may_write() {
    if (!elector) return {};
    return [this] { return elector->may_write(); };
  }

  std::stop_source stopping;
  std::shared_ptr<kube::HttpTransport> transport;
  std::shared_ptr<prometheus::Registry> registry;
  op::OperatorMetrics metrics;
  Mutex mutex;
  op::Term* listener MUSTER_GUARDED_BY(mutex) = nullptr;
  kube::Client client, lease_client;
  std::unique_ptr<kube::LeaderElector> elector;
  op::ClusterCache cache;
  std::unique_ptr<op::Term> term;
};

Replica::Replica(World world, Planted planted, bool elects)
    : world_(world), planted_(planted), elects_(elects) {
  static const bool kQuiet = (init_log("simulation", "off"), true);
  static_cast<void>(kQuiet);
  process_ = world_.threads.spawn([this] { run(); });
  link_->replica = process_;
  if (world_.faults.strikes(Fault::kClockSkew)) world_.threads.set_skew(process_, kSkews[process_ % 2]);
}

void Replica::crash() {
  world_.threads.resume(process_);
  world_.network.cut(*link_);
  stop();
}

void Replica::stop() {
  stopping_ = true;
  world_.threads.wake(&news_);
}

void Replica::told(const std::string& uid) {
  if (agents_ != nullptr) agents_->told(uid);
}

void Replica::wait(Nanos most) {
  if (!stopping_ && !news_) world_.threads.wait(&news_, world_.threads.now() + most);
  news_ = false;
}

void Replica::run() {
  Parts parts(*this, planted_transport(planted_, world_.network.connect(link_)));
  parts.cache.start();
  while (!stopping_ && planted_ != Planted::kCachesNotAwaited &&
         !parts.cache.wait_synced(deadline_after(seconds(1)))) {
  }
  if (!stopping_ && parts.elector) parts.elector->start();
  while (!stopping_) {
    turn(parts);
    wait(parts.term ? kHousekeeping : kStartRetry);
  }
  parts.stopping.request_stop();
  end_term(parts);
  if (parts.elector) parts.elector->resign();
}

// Begins a term when this replica leads, ends it when it no longer does.
void Replica::turn(Parts& parts) {
  if (!parts.elector || parts.elector->leads()) {
    if (!parts.term) begin_term(parts);
    return;
  }
  if (parts.term) world_.faults.seen("lease lost");
  end_term(parts);
  parts.elector->rejoin();
}

void Replica::begin_term(Parts& parts) {
  kube::Client::Options options = parts.options();
  options.may_write = parts.may_write();
  kube::Client client(parts.transport, nullptr, std::move(options));
  auto issuer = op::load_issuer(client, kOwnNamespace, std::chrono::system_clock::now());
  if (!issuer || (parts.elector && planted_ != Planted::kCachesNotAwaited && !parts.cache.catch_up())) return;
  world_.faults.seen("a term begins");
  op::TermOptions term;
  term.workers = 2;
  term.own_namespace = kOwnNamespace;
  if (planted_ != Planted::kWritesWithoutLease) term.may_write = parts.may_write();
  term.make_agents = [this](op::AgentClient::Options of_term) {
    auto agents = std::make_unique<ReplicaAgents>(
        ReplicaAgents::World{world_.threads, world_.programs, world_.nodes, world_.faults}, link_,
        std::move(of_term.on_change));
    agents_ = agents.get();
    return agents;
  };
  term.decide_job = planted_decide(planted_, std::move(term.decide_job));
  term.decide_round = planted_decide(planted_, std::move(term.decide_round));
  parts.term =
      std::make_unique<op::Term>(parts.transport, nullptr, parts.options(), parts.cache, parts.metrics,
                                 *parts.registry, *std::move(issuer), std::move(term));
  {
    const MutexLock lock(parts.mutex);
    parts.listener = parts.term.get();
  }
  parts.term->start();
}

void Replica::end_term(Parts& parts) {
  {
    const MutexLock lock(parts.mutex);
    parts.listener = nullptr;
  }
  agents_ = nullptr;
  parts.term.reset();
}

}  // namespace muster::sim
