// operator/shell/operator_app.cc: wiring, start, housekeeping, stop
#include "operator/shell/operator_app.h"

#include <fmt/format.h>
#include <malloc.h>
#include <poll.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <charconv>
#include <map>

#include "common/base/host_port.h"
#include "common/platform/metrics.h"
#include "kube/cpprest_transport.h"
#include "operator/core/reconcile_distributed_job.h"
#include "operator/core/reconcile_federated_round.h"
#include "operator/shell/authority_secret.h"
#include "operator/shell/controller.h"

namespace muster::op {
namespace {

constexpr std::chrono::seconds kHousekeeping{1};
constexpr std::chrono::seconds kCrdRetry{2};
constexpr std::chrono::seconds kSyncTimeout{120};  // then the caches will not come: start over
constexpr int kHttpThreads = 3;  // they only move bytes; four watches and the workers wait elsewhere

Result<Decision> decide_job(const Json& object, Observed seen) {
  MUSTER_ASSIGN(api::DistributedJob job, api::distributed_job_from_json(object));
  return reconcile(ObservedJob{std::move(seen), std::move(job)});
}

Result<Decision> decide_round(const Json& object, Observed seen) {
  MUSTER_ASSIGN(api::FederatedRound round, api::federated_round_from_json(object));
  return reconcile(ObservedRound{std::move(seen), std::move(round)});
}

std::string host_of(const std::string& server) {
  const auto scheme = server.find("://");
  const std::string rest = scheme == std::string::npos ? server : server.substr(scheme + 3);
  return rest.substr(0, rest.find('/'));
}

class Operator {
 public:
  explicit Operator(const OperatorOptions& options)
      : options_(options), registry_(std::make_shared<prometheus::Registry>()), metrics_(*registry_) {}
  ~Operator() { stopping_.request_stop(); }

  Status run(SignalWaiter& signals) {
    MUSTER_TRY(connect());
    MUSTER_TRY(serve_metrics());
    MUSTER_ASSIGN(const bool found, wait_for_kinds(signals));
    if (!found) return {};
    MUSTER_ASSIGN(const bool trusted, wait_for_issuer(signals));
    if (!trusted) return {};
    build();
    cache_->start();
    MUSTER_ASSIGN(const bool synced, wait_for_caches(signals));
    if (!synced) return {};
    for (const auto& controller : controllers_) controller->start();
    ready_ = true;
    spdlog::info("ready version={} server={} namespaces={} metrics=http://{}/metrics", MUSTER_VERSION,
                 server_,
                 options_.namespaces.empty() ? "all" : fmt::format("{}", fmt::join(options_.namespaces, ",")),
                 host_port(options_.metrics_ip, metrics_server_->port()));
    while (true) {
      const auto signal = signals.wait(kHousekeeping);
      sample();
      if (auto superseded = authority_->superseded()) {
        stop_all();
        return *std::move(superseded);
      }
      if (!signal) continue;
      spdlog::info("stopping signal={}: passes under way are finished first", *signal);
      break;
    }
    stop_all();
    spdlog::info("stopped");
    return {};
  }

 private:
  void stop_all() {
    ready_ = false;
    stopping_.request_stop();
    for (const auto& controller : controllers_) controller->stop();
  }

  Status connect() {
    MUSTER_ASSIGN(const kube::ClusterConfig config,
                  kube::load_cluster_config({.path = options_.kubeconfig, .context = {}}));
    server_ = config.server;
    own_namespace_ = !options_.own_namespace.empty() ? options_.own_namespace
                     : config.in_pod                 ? config.default_namespace
                                                     : kOperatorNamespace;
    requests_ = std::make_unique<kube::RequestMetrics>(*registry_, host_of(config.server));
    kube::set_http_threads(kHttpThreads);
    MUSTER_ASSIGN(transport_, kube::make_cpprest_transport(config));
    identity_ = config.identity;
    client_ = std::make_unique<kube::Client>(transport_, identity_, client_options());
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
    server.ready = [this]() -> Status {
      if (ready_) return {};
      return unavailable("the caches are not filled yet");
    };
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
        const auto page = client.list(*resource, ns,
                                      {.label_selector = {},
                                       .field_selector = {},
                                       .resource_version = {},
                                       .continue_token = {},
                                       .limit = 1});
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

  // True when the operator has its authority, false when a signal came first. Says once why it waits.
  Result<bool> wait_for_issuer(SignalWaiter& signals) {
    kube::Client client(transport_, identity_, main_thread_options(signals));
    std::string said;
    while (true) {
      auto issuer = load_issuer(client, own_namespace_, std::chrono::system_clock::now());
      if (issuer) {
        issuer_.emplace(*std::move(issuer));
        spdlog::info("certificates are of authority {}, Secret {}/{}", issuer_->id(), own_namespace_,
                     kAuthoritySecret);
        return true;
      }
      if (issuer.error().code == Code::kDataLoss) return issuer.error();
      if (issuer.error().message != said)
        spdlog::warn("{}; trying again every {} s", issuer.error().message, kCrdRetry.count());
      said = issuer.error().message;
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

  Controller* controller_of_kind(const std::string& kind) {
    for (const auto& controller : controllers_) {
      if (controller->resource().kind == kind) return controller.get();
    }
    return nullptr;
  }

  void build() {
    events_ = std::make_unique<kube::EventRecorder>(*client_, "muster-operator", [](const Error& error) {
      spdlog::warn("the API server refuses events, so nobody sees them: error=\"{}\"", error.message);
    });
    ClusterCache::Options cache;
    cache.namespaces = options_.namespaces;
    cache.on_problem = [](const std::string& text) { spdlog::warn("{}", text); };
    cache.on_change = [this](const std::string& kind, const std::string& key, bool child) {
      Controller* controller = controller_of_kind(kind);
      if (controller == nullptr) return;
      if (child) {
        controller->enqueue_gathered(key);
      } else {
        controller->enqueue(key);
      }
    };
    cache_ = std::make_unique<ClusterCache>(*client_, std::move(cache));
    AgentClient::Options agents{.credentials = issuer_->credentials()};
    agents.membership_key = [this](const std::string& uid, std::int64_t membership) {
      return issuer_->membership_key(uid, membership);
    };
    agents.on_change = [this](const std::string& owner, bool progress) {  // "Kind/namespace/name"
      const auto slash = owner.find('/');
      Controller* controller = controller_of_kind(owner.substr(0, slash));
      if (controller == nullptr) return;
      if (progress) {
        controller->enqueue_soon(owner.substr(slash + 1));
      } else {
        controller->enqueue_gathered(owner.substr(slash + 1));
      }
    };
    agents.on_refusal = [](const std::string& owner, const std::string& pod, const Error& why) {
      spdlog::warn("agent did not take its assignment object={} pod={} error=\"{}\"", owner, pod,
                   why.message);
    };
    agents_ = std::make_unique<AgentClient>(std::move(agents));
    Applier::Options applier;
    applier.on_status = [this](const Subject& subject, const Json& before, const Json& after) {
      metrics_.status_changed(subject.resource.kind, before, after);
    };
    applier_ = std::make_unique<Applier>(*client_, *cache_, *agents_, *events_, *issuer_, std::move(applier));
    nodes_ = std::make_unique<NodeHealth>(*client_);
    authority_ = std::make_unique<AuthorityCheck>(*client_, own_namespace_, issuer_->id());
    const ControllerParts parts{
        *cache_, *agents_, *applier_, *nodes_, *issuer_, metrics_, *registry_, [this] {
          return authority_->confirm(std::chrono::steady_clock::now(), std::chrono::system_clock::now());
        }};
    controllers_.push_back(
        std::make_unique<Controller>(parts, Controller::Options{.resource = kube::kDistributedJobs,
                                                                .name = "distributedjob",
                                                                .workers = options_.workers,
                                                                .defaults = options_.defaults,
                                                                .decide = decide_job}));
    controllers_.push_back(
        std::make_unique<Controller>(parts, Controller::Options{.resource = kube::kFederatedRounds,
                                                                .name = "federatedround",
                                                                .workers = options_.workers,
                                                                .defaults = options_.defaults,
                                                                .decide = decide_round}));
  }

  void sample() {
    for (const auto& controller : controllers_) {
      controller->sample();
      std::map<std::string, int> counts;
      for (const auto& object : cache_->list(controller->resource())) {
        const auto phase = object->value(Json::json_pointer("/status/phase"), std::string("Pending"));
        ++counts[phase];
      }
      metrics_.set_jobs(controller->resource().kind, counts);
    }
  }

  OperatorOptions options_;
  std::shared_ptr<prometheus::Registry> registry_;
  OperatorMetrics metrics_;
  std::string server_;
  std::string own_namespace_;
  std::optional<Issuer> issuer_;
  std::atomic<bool> ready_{false};
  std::stop_source stopping_;  // ends what only waits
  std::unique_ptr<kube::RequestMetrics> requests_;
  std::shared_ptr<kube::HttpTransport> transport_;
  std::shared_ptr<kube::IdentitySource> identity_;
  std::unique_ptr<kube::Client> client_;
  std::unique_ptr<AuthorityCheck> authority_;
  std::unique_ptr<NodeHealth> nodes_;
  std::unique_ptr<MetricsServer> metrics_server_;
  // What calls others is declared after them, so that it is gone first.
  std::vector<std::unique_ptr<Controller>> controllers_;
  std::unique_ptr<AgentClient> agents_;
  std::unique_ptr<kube::EventRecorder> events_;
  std::unique_ptr<ClusterCache> cache_;
  std::unique_ptr<Applier> applier_;
};

}  // namespace

Status parse_metrics_address(const std::string& text, OperatorOptions& options) {
  const auto colon = text.rfind(':');
  int port = -1;
  if (colon != std::string::npos) {
    const std::string_view digits = std::string_view(text).substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size()) port = -1;
  }
  if (port < 0 || port > 65535) {
    return invalid_argument(
        fmt::format("--metrics-address {} is not ip:port; write for example 127.0.0.1:8080", text));
  }
  std::string ip = colon == 0 ? "0.0.0.0" : text.substr(0, colon);
  if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  options.metrics_ip = std::move(ip);
  options.metrics_port = port;
  return {};
}

Status run_operator(const OperatorOptions& options, SignalWaiter& signals) {
  mallopt(M_ARENA_MAX, 2);  // an arena a thread would keep many half-empty pages
  mallopt(M_TRIM_THRESHOLD, 256 * 1024);
  Operator app(options);
  return app.run(signals);
}

}  // namespace muster::op
