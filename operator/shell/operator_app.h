#pragma once  // operator/shell/operator_app.h: the whole operator, from options to a clean stop
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/platform/signals.h"
#include "operator/core/history.h"
#include "operator/core/node_problems.h"

namespace muster::op {

struct OperatorOptions {
  std::string kubeconfig;               // empty: as kubectl, or the pod's service account
  std::vector<std::string> namespaces;  // empty: all
  std::string own_namespace;  // of Secret muster-ca; empty: the service account's, else muster-system
  std::string metrics_ip = "0.0.0.0";
  int metrics_port = 8080;
  std::string progress_address;      // "ip:port" where programs tell their progress; empty: nowhere
  std::string progress_url;          // by which pods reach it; empty: by the address
  std::optional<bool> leader_elect;  // absent: if it runs in a pod
  std::string lease_namespace;       // empty: as own_namespace
  std::string lease_name = "muster-operator.muster.dev";
  int workers = 4;                             // passes at once, of each kind
  std::vector<NodeProblemRule> node_problems;  // by which nodes are bad; empty: they are not watched
  PodDefaults defaults;
  HistoryLimits history{.records_max = 200};
};

// Runs until a stop signal, then ends the passes under way, gives the Lease back and returns. Errors: the
// start failed, in one line.
[[nodiscard]] Status run_operator(const OperatorOptions& options, SignalWaiter& signals);

}  // namespace muster::op
