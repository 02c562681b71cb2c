// operator/shell/main.cc: muster-operator's command line
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "common/platform/core_file.h"
#include "common/platform/log.h"
#include "operator/shell/await_job.h"
#include "operator/shell/ip_port.h"
#include "operator/shell/operator_app.h"

int main(int argc, char** argv) try {
  muster::op::OperatorOptions options;
  std::string metrics_address = "0.0.0.0:8080";
  CLI::App app("muster-operator: reconciles DistributedJobs and FederatedRounds of a Kubernetes cluster");
  app.add_option("--kubeconfig", options.kubeconfig,
                 "kubeconfig file; default: $KUBECONFIG, the pod's service account, ~/.kube/config");
  app.add_option("--namespace", options.namespaces,
                 "watch this namespace only; may be repeated; default: all");
  app.add_option("--operator-namespace", options.own_namespace,
                 "namespace of Secret muster-ca; default: the service account's, else muster-system");
  bool leader_elect = false;
  const CLI::Option* elects =
      app.add_flag("--leader-elect,!--no-leader-elect", leader_elect,
                   "of several replicas one works, the others stand by; default: if it runs in a pod");
  app.add_option("--leader-elect-namespace", options.lease_namespace,
                 "namespace of the Lease; default: as --operator-namespace");
  app.add_option("--leader-elect-name", options.lease_name, "name of the Lease")->capture_default_str();
  app.add_option("--metrics-address", metrics_address,
                 "ip:port of /metrics, /healthz, /readyz; port 0: a free one")
      ->capture_default_str();
  app.add_option(
      "--progress-address", options.progress_address,
      "ip:port where programs of DistributedJobs without spec.training tell their progress by Kubeflow's "
      "protocol; port 0: a free one; default: nowhere");
  app.add_option("--progress-url", options.progress_url,
                 "https://host:port by which pods reach it; default: by --progress-address");
  app.add_option("--workers", options.workers, "objects reconciled at once, of each kind")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--worker-image", options.defaults.worker_image,
                 "image of workers whose template names none")
      ->capture_default_str();
  app.add_option("--aggregator-image", options.defaults.aggregator_image, "image of aggregators, likewise")
      ->capture_default_str();
  app.add_option("--client-image", options.defaults.device_image, "image of clients, likewise")
      ->capture_default_str();
  std::string node_problems = "default";
  const CLI::Option* node_problems_given =
      app.add_option("--node-problems", node_problems,
                     "conditions and taints of nodes, with commas, whose pods are replaced elsewhere: "
                     "TYPE, TYPE=False, taint:KEY, default (docs/operations.md has the list) or none; with "
                     "--namespace it is none unless given")
          ->capture_default_str();
  std::int64_t history_days = options.history.age_max.count() / 24;
  app.add_option(
         "--history-max", options.history.records_max,
         "records of ended objects that ConfigMap muster-history of each namespace holds; 0: none are kept")
      ->check(CLI::Range(0, 300))  // of at most 2 KiB each, in an object of 1 MiB
      ->capture_default_str();
  app.add_option("--history-days", history_days, "records that are older go")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();
  muster::op::AwaitOptions await;
  app.add_option("--await", await.job,
                 "do nothing but wait until this DistributedJob, NAMESPACE/NAME, succeeds");
  app.add_option("--await-seconds", await.seconds, "for at most so long")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  app.set_version_flag("--version", std::string("muster-operator ") + MUSTER_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }

  options.history.age_max = std::chrono::hours(24 * history_days);
  if (elects->count() > 0) options.leader_elect = leader_elect;
  if (!options.namespaces.empty() && node_problems_given->count() == 0) node_problems = "none";
  muster::forbid_core_file();    // of the authority's key
  muster::SignalWaiter signals;  // before any thread
  muster::init_log("operator");
  const auto metrics = muster::op::parse_ip_port("--metrics-address", metrics_address);
  auto problems = muster::op::parse_node_problems(node_problems);
  muster::Status done = !metrics ? metrics.error() : !problems ? problems.error() : muster::Status();
  if (problems) options.node_problems = *std::move(problems);
  if (metrics) {
    options.metrics_ip = metrics->ip;
    options.metrics_port = metrics->port;
  }
  if (done && !await.job.empty()) {
    await.kubeconfig = options.kubeconfig;
    done = muster::op::await_job(await, signals);
  } else if (done) {
    done = muster::op::run_operator(options, signals);
  }
  if (done) return 0;
  std::fprintf(stderr, "muster-operator: %s\n", done.error().message.c_str());
  return 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "muster-operator: %s\n", error.what());
  return 1;
}
