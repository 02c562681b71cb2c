// operator/shell/operator_app.cc: wiring, start, housekeeping, stop
#include "operator/shell/operator_app.h"

#include <fmt/format.h>
#include <poll.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>

#include "common/base/host_port.h"
#include "common/platform/file_descriptor.h"
#include "common/platform/metrics.h"
#include "common/platform/resident_memory.h"
#include "kube/cpprest_transport.h"
#include "kube/leader_elector.h"
#include "operator/shell/object_series.h"
#include "operator/shell/progress_port.h"
#include "operator/shell/term.h"

namespace muster::op {
namespace {

constexpr std::chrono::seconds kHousekeeping{1};
constexpr std::chrono::seconds kCrdRetry{2};
constexpr std::chrono::seconds kSyncTimeout{120};  // then the caches will not come: start over
constexpr const char* kProgressAddress = "muster.dev/progress-address";  // annotation of the Lease
constexpr int kHttpThreads = 3;  // they only move bytes; the watches and the workers wait elsewhere

std::string host_of(const std::string& server) {
  const auto scheme = server.find("://");
  const std::string rest = scheme == std::string::npos ? server : server.substr(scheme + 3);
  return rest.substr(0, rest.find('/'));
}

// The pod's name and something that no other replica ever has.
std::string replica_name() {
  std::string name(HOST_NAME_MAX + 1, '\0');
  const char* pod = std::getenv("POD_NAME");
  if (pod != nullptr && *pod != '\0') {
    name = pod;
  } else if (gethostname(name.data(), name.size()) == 0) {
    name.resize(std::strlen(name.c_str()));
  } else {
    name = "muster-operator";
  }
  std::random_device random;
  return fmt::format("{}_{:08x}{:08x}", name, random(), random());
}

class Operator {
 public:
  explicit Operator(const OperatorOptions& options)
      : options_(options), registry_(std::make_shared<prometheus::Registry>()), metrics_(*registry_) {}
  ~Operator() {
    stopping_.request_stop();
    end_term();
    objects_.watch(nullptr);
  }

  Status run(SignalWaiter& signals) {
    MUSTER_TRY(open_progress());
    MUSTER_TRY(connect());
    MUSTER_TRY(serve_metrics());
    MUSTER_ASSIGN(const bool found, wait_for_kinds(signals));
    if (!found) return {};
    build_cache();
    cache_->start();
    MUSTER_ASSIGN(const bool synced, wait_for_caches(signals));
    if (!synced) return {};
    give_back_memory();
    synced_ = true;
    objects_.watch(cache_.get());
    if (elector_) elector_->start();
    spdlog::info("ready version={} server={} namespaces={} lease={} metrics=http://{}/metrics progress={}",
                 MUSTER_VERSION, server_,
                 options_.namespaces.empty() ? "all" : fmt::format("{}", fmt::join(options_.namespaces, ",")),
                 elector_ ? lease_ : "none", host_port(options_.metrics_ip, metrics_server_->port()),
                 progress_ ? progress_address_ : "none");
    Status ended = work_until_stopped(signals);
    synced_ = false;
    stopping_.request_stop();
    end_term();
    if (elector_) elector_->resign();
    if (ended) spdlog::info("stopped");
    return ended;
  }

 private:
  Status work_until_stopped(SignalWaiter& signals) {
    while (true) {
      MUSTER_TRY(turn(signals));
      const auto signal = wait(signals, kHousekeeping);
      if (!signal) continue;
      spdlog::info("stopping signal={}: passes under way are finished first", *signal);
      return {};
    }
  }

  // A signal, news of the election, or the end of `span`.
  std::optional<int> wait(SignalWaiter& signals, std::chrono::milliseconds span) {
    std::array<pollfd, 2> fds{pollfd{.fd = signals.fd(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = news_.get(), .events = POLLIN, .revents = 0}};
    static_cast<void>(poll(fds.data(), fds.size(), static_cast<int>(span.count())));
    std::uint64_t count = 0;
    if ((fds[1].revents & POLLIN) != 0) static_cast<void>(read(news_.get(), &count, sizeof count));
    return signals.wait(std::chrono::milliseconds(0));
  }

  // Begins a term when this replica leads, ends it when it no longer does.
  Status turn(SignalWaiter& signals) {
    const bool leads = !elector_ || elector_->leads();
    metrics_.set_leader(options_.lease_name, leads);
    if (!leads) return stand_by();
    if (!term_) MUSTER_TRY(begin_term(signals));
    if (!term_) return {};
    term_->sample();
    if (auto superseded = term_->superseded()) return *std::move(superseded);
    return {};
  }

  Status stand_by() {
    if (term_) {
      const std::string holder = elector_->holder();
      spdlog::warn("no longer leads lease={}: {}; nothing is written until it leads again", lease_,
                   holder == identity_of_replica_ ? "it could not be renewed in time" : holder + " has it");
      end_term();
      for (const kube::Resource* resource : {&kube::kDistributedJobs, &kube::kFederatedRounds})
        metrics_.set_jobs(resource->kind, {});
    }
    elector_->rejoin();
    return read_progress_keys();
  }

  // A standby checks tokens, too, before it passes anything on. The authority may be another one when another
  // replica leads.
  Status read_progress_keys() {
    const std::string holder = elector_->holder();
    const Instant now = std::chrono::steady_clock::now();
    if (!progress_ || holder.empty() || holder == keys_since_ || now < next_begin_) return {};
    next_begin_ = now + kCrdRetry;
    kube::Client client(transport_, identity_, client_options());
    const auto issuer = read_issuer(client, own_namespace_, std::chrono::system_clock::now());
    if (!issuer) return {};  // the leader makes it, and says what is wrong with it
    MUSTER_TRY(progress_->use(*issuer));
    keys_since_ = holder;
    return {};
  }

  // The port is known before the first pod is told of it.
  Status open_progress() {
    if (options_.progress_address.empty()) return {};
    MUSTER_ASSIGN(ProgressPlace place, progress_place(options_.progress_address, options_.progress_url));
    ProgressPort::Options port{.ip = place.listen.ip, .port = place.listen.port, .host = place.host};
    port.leader = [this] { return elector_ ? elector_->told_by_holder(kProgressAddress) : std::string(); };
    MUSTER_ASSIGN(progress_, ProgressPort::open(std::move(port), *registry_));
    progress_address_ = host_port(place.listen.ip, progress_->port());
    if (!place.listen.any()) holder_annotations_[kProgressAddress] = progress_address_;
    options_.defaults.progress_url =
        options_.progress_url.empty() ? "https://" + progress_address_ : options_.progress_url;
    return {};
  }

  // Once the authority of the pods' keys can be had. Says once why it cannot.
  Status begin_term(SignalWaiter& signals) {
    const Instant now = std::chrono::steady_clock::now();
    if (now < next_begin_) return {};
    next_begin_ = now + kCrdRetry;
    kube::Client::Options options = main_thread_options(signals);
    options.may_write = may_write();
    kube::Client client(transport_, identity_, std::move(options));
    auto issuer = load_issuer(client, own_namespace_, std::chrono::system_clock::now());
    if (issuer && elector_)
      if (const Status current = cache_->catch_up(); !current) issuer = current.error();
    if (!issuer) {
      if (issuer.error().code == Code::kDataLoss) return issuer.error();
      if (issuer.error().message != said_)
        spdlog::warn("{}; trying again every {} s", issuer.error().message, kCrdRetry.count());
      said_ = issuer.error().message;
      return {};
    }
    said_.clear();
    if (elector_) spdlog::info("leads lease={} identity={}", lease_, identity_of_replica_);
    if (progress_) MUSTER_TRY(progress_->use(*issuer));
    spdlog::info("certificates are of authority {}, Secret {}/{}", issuer->id(), own_namespace_,
                 kAuthoritySecret);
    term_ = std::make_unique<Term>(transport_, identity_, client_options(), *cache_, metrics_, *registry_,
                                   *std::move(issuer),
                                   TermOptions{.workers = options_.workers,
                                               .defaults = options_.defaults,
                                               .history = options_.history,
                                               .own_namespace = own_namespace_,
                                               .may_write = may_write()});
    listen_with(term_.get());
    if (progress_)
      progress_->lead([term = term_.get()](const ReportTarget& target, std::string_view body) {
        return term->take_report(target, body);
      });
    term_->start();
    working_ = true;
    give_back_memory();
    return {};
  }

  void end_term() {
    working_ = false;
    if (progress_) progress_->lead({});
    listen_with(nullptr);
    term_.reset();
  }

  void listen_with(Term* term) {
    const MutexLock lock(mutex_);
    listener_ = term;
  }

  std::function<Result<Deadline>()> may_write() {
    if (!elector_) return {};
    return [this] { return elector_->may_write(); };
  }

  Status connect() {
    MUSTER_ASSIGN(
        const kube::ClusterConfig config,
        kube::load_cluster_config({.path = options_.kubeconfig, .context = {}, .controller = true}));
    server_ = config.server;
    own_namespace_ = !options_.own_namespace.empty() ? options_.own_namespace
                     : config.in_pod                 ? config.default_namespace
                                                     : kOperatorNamespace;
    requests_ = std::make_unique<kube::RequestMetrics>(*registry_, host_of(config.server));
    kube::set_http_threads(kHttpThreads);
    MUSTER_ASSIGN(transport_, kube::make_cpprest_transport(config));
    identity_ = config.identity;
    client_ = std::make_unique<kube::Client>(transport_, identity_, client_options());
    if (options_.leader_elect.value_or(config.in_pod)) return make_elector();
    return {};
  }

  Status make_elector() {
    news_ = FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!news_.valid()) return resource_exhausted("no file descriptor is left for the leader election");
    const std::string ns = options_.lease_namespace.empty() ? own_namespace_ : options_.lease_namespace;
    lease_ = ns + "/" + options_.lease_name;
    identity_of_replica_ = replica_name();
    kube::Client::Options options = client_options();
    options.request_timeout = kube::LeaderElector::kRequestTimeout;
    lease_client_ = std::make_unique<kube::Client>(transport_, identity_, std::move(options));
    elector_ = std::make_unique<kube::LeaderElector>(
        *lease_client_,
        kube::LeaderElector::Options{
            .election = {.ns = ns,
                         .name = options_.lease_name,
                         .identity = identity_of_replica_,
                         .annotations = holder_annotations_,
                         .seed = std::hash<std::string>{}(identity_of_replica_)},
            .on_change =
                [this] {
                  const std::uint64_t one = 1;
                  static_cast<void>(write(news_.get(), &one, sizeof one));
                },
            .on_problem = [](const std::string& text) { spdlog::warn("leader election: {}", text); }});
    return {};
  }

  kube::Client::Options client_options() {
    kube::Client::Options options;
    options.stop = stopping_.get_token();
    options.on_answer = [this](std::string_view method, std::string_view code) {
      requests_->count(method, code);
    };
    options.on_warning = [](const std::string& text) { spdlog::warn("the API server warns: {}", text); };
    return options;
  }

  // For requests of the thread that waits for signals: a wait for a Retry-After ends with one.
  kube::Client::Options main_thread_options(const SignalWaiter& signals) {
    kube::Client::Options options = client_options();
    options.sleep = [this, fd = signals.fd()](std::chrono::milliseconds span) {
      pollfd signal{.fd = fd, .events = POLLIN, .revents = 0};
      if (poll(&signal, 1, static_cast<int>(span.count())) > 0) stopping_.request_stop();
    };
    return options;
  }

  Status serve_metrics() {
    MetricsServer::Options server;
    server.ip = options_.metrics_ip;
    server.port = options_.metrics_port;
    server.healthy = [this] { return elector_ ? elector_->healthy() : Status(); };
    server.ready = [this]() -> Status {
      if (!synced_) return unavailable("the caches are not filled yet");
      if (elector_ && !elector_->seen()) return unavailable("the Lease could not be read yet");
      if (working_ || (elector_ && !elector_->leads())) return {};
      return unavailable("the authority of the pods' keys could not be read yet");
    };
    server.collect = [this] { return objects_.collect(); };
    MUSTER_ASSIGN(metrics_server_, MetricsServer::start(registry_, std::move(server)));
    return {};
  }

  // True when both kinds are served, false when a signal came first. Says once why it waits.
  Result<bool> wait_for_kinds(SignalWaiter& signals) {
    kube::Client client(transport_, identity_, main_thread_options(signals));
    std::string said;
    while (true) {
      std::string problem;
      for (const kube::Resource* resource : {&kube::kDistributedJobs, &kube::kFederatedRounds}) {
        const std::string ns = options_.namespaces.empty() ? "" : options_.namespaces.front();
        kube::ListOptions one;
        one.limit = 1;
        const auto page = client.list(*resource, ns, one);
        if (page) continue;
        problem = page.error().code == Code::kNotFound
                      ? fmt::format(
                            "the API server at {} does not know {}.{}: install Muster's CRDs (kubectl apply "
                            "-f crds/)",
                            server_, resource->plural, resource->group)
                      : page.error().message;
        break;
      }
      if (problem.empty()) return true;
      if (problem != said) spdlog::warn("{}; trying again every {} s", problem, kCrdRetry.count());
      said = problem;
      if (signals.wait(kCrdRetry)) return false;
    }
  }

  Result<bool> wait_for_caches(SignalWaiter& signals) {
    const Deadline deadline = deadline_after(kSyncTimeout);
    while (!cache_->wait_synced(deadline_after(std::chrono::milliseconds(100)))) {
      if (signals.wait(std::chrono::milliseconds(0))) return false;
      if (std::chrono::steady_clock::now() < deadline) continue;
      return deadline_exceeded(
          fmt::format("the first lists from {} did not come within {} s; see the warnings above", server_,
                      kSyncTimeout.count()));
    }
    return true;
  }

  void build_cache() {
    ClusterCache::Options cache{.namespaces = options_.namespaces, .node_problems = options_.node_problems};
    cache.on_problem = [](const std::string& text) { spdlog::warn("{}", text); };
    cache.on_change = [this](const std::string& kind, const std::string& key, bool child) {
      const MutexLock lock(mutex_);
      if (listener_ != nullptr) listener_->changed(kind, key, child);
    };
    cache_ = std::make_unique<ClusterCache>(*client_, std::move(cache));
  }

  OperatorOptions options_;
  std::shared_ptr<prometheus::Registry> registry_;
  OperatorMetrics metrics_;
  ObjectSeries objects_;
  std::string server_;
  std::string own_namespace_;
  std::string lease_;                                      // "namespace/name"
  std::string identity_of_replica_;                        // in it
  std::string said_;                                       // why no term begins
  std::string progress_address_;                           // as it listens: "ip:port"
  std::map<std::string, std::string> holder_annotations_;  // of the Lease, while this replica holds it
  std::string keys_since_;                                 // a standby's: who led when it read the authority
  Instant next_begin_{};
  std::atomic<bool> synced_{false};
  std::atomic<bool> working_{false};  // there is a term
  std::stop_source stopping_;         // ends what only waits
  FileDescriptor news_;               // of the election
  Mutex mutex_;
  Term* listener_ MUSTER_GUARDED_BY(mutex_) = nullptr;  // to news of the caches
  // What calls others is declared after them, so that it is gone first.
  std::unique_ptr<kube::RequestMetrics> requests_;
  std::shared_ptr<kube::HttpTransport> transport_;
  std::shared_ptr<kube::IdentitySource> identity_;
  std::unique_ptr<kube::Client> client_;  // of the caches: it only reads
  std::unique_ptr<kube::Client> lease_client_;
  std::unique_ptr<kube::LeaderElector> elector_;  // null: there is one operator
  std::unique_ptr<MetricsServer> metrics_server_;
  std::unique_ptr<ProgressPort> progress_;  // null: programs tell their progress nowhere
  std::unique_ptr<ClusterCache> cache_;
  std::unique_ptr<Term> term_;
};

}  // namespace

Status run_operator(const OperatorOptions& options, SignalWaiter& signals) {
  keep_heap_small();
  Operator app(options);
  return app.run(signals);
}

}  // namespace muster::op
