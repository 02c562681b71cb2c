// operator/shell/term.cc: the wiring of a term
#include "operator/shell/term.h"

#include <spdlog/spdlog.h>

#include <map>

#include "common/json/access.h"
#include "operator/core/reconcile_distributed_job.h"
#include "operator/core/reconcile_federated_round.h"

namespace muster::op {
namespace {

kube::Client::Options of_term(kube::Client::Options options, const TermOptions& term, std::stop_token stop) {
  options.may_write = term.may_write;
  options.stop = std::move(stop);
  return options;
}

void tell_refused_events(const Error& error) {
  spdlog::warn("the API server refuses events, so nobody sees them: error=\"{}\"", error.message);
}

}  // namespace

Result<Decision> decide_job(const Json& object, Observed seen) {
  MUSTER_ASSIGN(api::DistributedJob job, api::distributed_job_from_json(object));
  return reconcile(ObservedJob{std::move(seen), std::move(job)});
}

Result<Decision> decide_round(const Json& object, Observed seen) {
  MUSTER_ASSIGN(api::FederatedRound round, api::federated_round_from_json(object));
  return reconcile(ObservedRound{std::move(seen), std::move(round)});
}

Term::Term(std::shared_ptr<kube::HttpTransport> transport, std::shared_ptr<kube::IdentitySource> identity,
           kube::Client::Options client, ClusterCache& cache, OperatorMetrics& metrics,
           prometheus::Registry& registry, Issuer issuer, TermOptions options)
    : cache_(cache),
      metrics_(metrics),
      registry_(registry),
      options_(std::move(options)),
      issuer_(std::move(issuer)),
      client_(std::move(transport), std::move(identity),
              of_term(std::move(client), options_, stopping_.get_token())),
      authority_(client_, options_.own_namespace, issuer_.id()),
      nodes_(client_),
      scheduling_(client_, cache_),
      agents_(options_.make_agents(agent_options())),
      events_(client_, "muster-operator", tell_refused_events),
      applier_(client_, cache_, *agents_, events_, issuer_,
               {.on_status =
                    [this](const Subject& subject, const Json& before, const Json& after) {
                      metrics_.status_changed(subject.resource.kind, before, after);
                    },
                .may_write = options_.may_write,
                .history = options_.history}) {
  add_controller(kube::kDistributedJobs, "distributedjob", options_.decide_job);
  add_controller(kube::kFederatedRounds, "federatedround", options_.decide_round);
}

Term::~Term() {
  stopping_.request_stop();
  for (const auto& controller : controllers_) controller->stop();
}

AgentClient::Options Term::agent_options() {
  AgentClient::Options agents{.credentials = issuer_.credentials()};
  agents.membership_key = [this](const std::string& uid, std::int64_t membership) {
    return issuer_.membership_key(uid, membership);
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
    spdlog::warn("agent did not take its assignment object={} pod={} error=\"{}\"", owner, pod, why.message);
  };
  agents.on_unusable = [](const std::string& owner, const std::string& pod, const Error& why) {
    spdlog::warn("agent tells what cannot be taken object={} pod={} error=\"{}\"", owner, pod, why.message);
  };
  return agents;
}

void Term::add_controller(const kube::Resource& resource, const char* name,
                          const Controller::Decide& decide) {
  const bool programs = resource.kind == kube::kDistributedJobs.kind;
  const ControllerParts parts{cache_,
                              *agents_,
                              applier_,
                              nodes_,
                              issuer_,
                              metrics_,
                              registry_,
                              [this](AuthorityDoubt doubt) {
                                return authority_.confirm(doubt, std::chrono::steady_clock::now(),
                                                          std::chrono::system_clock::now());
                              },
                              &scheduling_,
                              programs ? &reports_ : nullptr};
  controllers_.push_back(std::make_unique<Controller>(
      parts, Controller::Options{.resource = resource,
                                 .name = name,
                                 .workers = options_.workers,
                                 .defaults = options_.defaults,
                                 .keeps_history = options_.history.records_max > 0,
                                 .decide = decide}));
}

Controller* Term::controller_of_kind(const std::string& kind) {
  for (const auto& controller : controllers_) {
    if (controller->resource().kind == kind) return controller.get();
  }
  return nullptr;
}

void Term::start() {
  for (const auto& controller : controllers_) {
    for (const auto& object : cache_.list(controller->resource()))
      controller->enqueue(kube::object_key(*object));
    controller->start();
  }
}

void Term::changed(const std::string& kind, const std::string& key, bool child) {
  Controller* controller = controller_of_kind(kind);
  if (controller == nullptr) return;
  if (child) {
    controller->enqueue_gathered(key);
  } else {
    controller->enqueue(key);
  }
}

ReportAnswer Term::take_report(const ReportTarget& target, std::string_view body) {
  const std::string key = target.ns + "/" + target.name;
  const kube::Object object = cache_.get(kube::kDistributedJobs, key);
  std::optional<ProgressReport> report;
  ReportAnswer answer = op::take_report(target, body, object == nullptr ? Json() : *object, report);
  if (report) {
    reports_.put(key, target.uid, *std::move(report));
    controller_of_kind(kube::kDistributedJobs.kind)->enqueue_soon(key);
  }
  return answer;
}

void Term::sample() {
  for (const auto& controller : controllers_) {
    controller->sample();
    std::map<std::string, int> counts;
    for (const auto& object : cache_.list(controller->resource()))
      ++counts[text(member(*object, "status", "phase"), "Pending")];
    metrics_.set_jobs(controller->resource().kind, counts);
  }
}

}  // namespace muster::op
