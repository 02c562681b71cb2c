#pragma once  // operator/shell/term.h: what only an operator that leads has: passes, events, calls to pods,
              // keys
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operator/control/agent_client.h"
#include "operator/shell/authority_secret.h"
#include "operator/shell/controller.h"

namespace muster::op {

// What a pass makes of an object of each kind.
[[nodiscard]] Result<Decision> decide_job(const Json& object, Observed seen);
[[nodiscard]] Result<Decision> decide_round(const Json& object, Observed seen);

struct TermOptions {
  int workers = 4;  // passes at once, of each kind
  PodDefaults defaults;
  HistoryLimits history;
  std::string own_namespace;  // of Secret muster-ca
  // Whether a call that changes something may begin: kube::Client::Options::may_write. Empty: always.
  std::function<Result<Deadline>()> may_write;
  // What leads out of the process besides the API server, and what decides: others in tests/sim.
  std::function<std::unique_ptr<Agents>(AgentClient::Options)> make_agents = [](AgentClient::Options agents) {
    return std::make_unique<AgentClient>(std::move(agents));
  };
  Controller::Decide decide_job = op::decide_job;
  Controller::Decide decide_round = op::decide_round;
};

// From when an operator leads until it no longer does. A standby has none: it writes nothing and calls no
// pod. The destructor ends the passes under way; then nothing of the term is left to be written.
class Term {
 public:
  // `client` is made for the transport of the cluster with the options of the operator, but for may_write and
  // stop.
  Term(std::shared_ptr<kube::HttpTransport> transport, std::shared_ptr<kube::IdentitySource> identity,
       kube::Client::Options client, ClusterCache& cache, OperatorMetrics& metrics,
       prometheus::Registry& registry, Issuer issuer, TermOptions options);
  ~Term();
  Term(const Term&) = delete;
  Term& operator=(const Term&) = delete;

  void start();  // with a pass over every object of the cache
  // News of an object, or of its pods: see ClusterCache::Options::on_change. Never blocks.
  void changed(const std::string& kind, const std::string& key, bool child);
  // What the program of an object tells of its progress; a pass soon folds it into the status. Never blocks.
  [[nodiscard]] ReportAnswer take_report(const ReportTarget& target, std::string_view body);
  void sample();  // gauges
  // Another authority has taken the place of this operator's: it has to end.
  [[nodiscard]] std::optional<Error> superseded() { return authority_.superseded(); }

 private:
  [[nodiscard]] AgentClient::Options agent_options();
  [[nodiscard]] Controller* controller_of_kind(const std::string& kind);
  void add_controller(const kube::Resource& resource, const char* name, const Controller::Decide& decide);

  ClusterCache& cache_;
  OperatorMetrics& metrics_;
  prometheus::Registry& registry_;
  const TermOptions options_;
  std::stop_source stopping_;  // ends waits for a Retry-After
  const Issuer issuer_;
  kube::Client client_;
  AuthorityCheck authority_;
  NodeHealth nodes_;
  SchedulingApis scheduling_;
  ProgressReports reports_;
  // What calls others is declared after them, so that it is gone first.
  std::vector<std::unique_ptr<Controller>> controllers_;
  std::unique_ptr<Agents> agents_;
  kube::EventRecorder events_;
  Applier applier_;
};

}  // namespace muster::op
