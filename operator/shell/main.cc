// operator/shell/main.cc: muster-operator's command line
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "common/platform/core_file.h"
#include "common/platform/log.h"
#include "operator/shell/await_job.h"
#include "operator/shell/ip_port.h"
#include "operator/shell/operator_app.h"

namespace muster::op {
namespace {

struct Arguments {
  OperatorOptions options;
  std::string metrics_address = "0.0.0.0:8080";
  std::string node_problems = "default";
  std::int64_t history_days = 0;
  bool leader_elect = false;
  AwaitOptions await;
};

void add_replica(CLI::App& app, Arguments& args) {
  app.add_option("--kubeconfig", args.options.kubeconfig,
                 "kubeconfig file; default: $KUBECONFIG, the pod's service account, ~/.kube/config");
  app.add_option("--namespace", args.options.namespaces,
                 "watch this namespace only; may be repeated; default: all");
  app.add_option("--operator-namespace", args.options.own_namespace,
                 "namespace of Secret muster-ca; default: the service account's, else muster-system");
  app.add_flag("--leader-elect,!--no-leader-elect", args.leader_elect,
               "of several replicas one works, the others stand by; default: if it runs in a pod");
  app.add_option("--leader-elect-namespace", args.options.lease_namespace,
                 "namespace of the Lease; default: as --operator-namespace");
  app.add_option("--leader-elect-name", args.options.lease_name, "name of the Lease")->capture_default_str();
  app.add_option("--metrics-address", args.metrics_address,
                 "ip:port of /metrics, /healthz, /readyz; port 0: a free one")
      ->capture_default_str();
  app.add_option(
      "--progress-address", args.options.progress_address,
      "ip:port where programs of DistributedJobs without spec.training tell their progress by Kubeflow's "
      "protocol; port 0: a free one; default: nowhere");
  app.add_option("--progress-url", args.options.progress_url,
                 "https://host:port by which pods reach it; default: by --progress-address");
  app.add_option("--workers", args.options.workers, "objects reconciled at once, of each kind")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
}

void add_objects(CLI::App& app, Arguments& args) {
  app.add_option("--worker-image", args.options.defaults.worker_image,
                 "image of workers whose template names none")
      ->capture_default_str();
  app.add_option("--aggregator-image", args.options.defaults.aggregator_image,
                 "image of aggregators, likewise")
      ->capture_default_str();
  app.add_option("--client-image", args.options.defaults.device_image, "image of clients, likewise")
      ->capture_default_str();
  app.add_option("--exec-image", args.options.defaults.exec_image,
                 "image that brings muster-exec into pods of jobs with runPolicy.restart InPlace")
      ->capture_default_str();
  app.add_option("--node-problems", args.node_problems,
                 "conditions and taints of nodes, with commas, whose pods are replaced elsewhere: "
                 "TYPE, TYPE=False, taint:KEY, default (docs/operations.md has the list) or none; with "
                 "--namespace it is none unless given")
      ->capture_default_str();
  args.history_days = args.options.history.age_max.count() / 24;
  app.add_option(
         "--history-max", args.options.history.records_max,
         "records of ended objects that ConfigMap muster-history of each namespace holds; 0: none are kept")
      ->check(CLI::Range(0, 300))  // of at most 2 KiB each, in an object of 1 MiB
      ->capture_default_str();
  app.add_option("--history-days", args.history_days, "records that are older go")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();
  app.add_option("--await", args.await.job,
                 "do nothing but wait until this DistributedJob, NAMESPACE/NAME, succeeds");
  app.add_option("--await-seconds", args.await.seconds, "for at most so long")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
}

}  // namespace
}  // namespace muster::op

int main(int argc, char** argv) try {
  CLI::App app("muster-operator: reconciles DistributedJobs and FederatedRounds of a Kubernetes cluster");
  muster::op::Arguments args;
  muster::op::OperatorOptions& options = args.options;
  add_replica(app, args);
  add_objects(app, args);
  app.set_version_flag("--version", std::string("muster-operator ") + MUSTER_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }

  options.history.age_max = std::chrono::hours(24 * args.history_days);
  if (app.count("--leader-elect") > 0) options.leader_elect = args.leader_elect;
  if (!options.namespaces.empty() && app.count("--node-problems") == 0) args.node_problems = "none";
  muster::forbid_core_file();    // of the authority's key
  muster::SignalWaiter signals;  // before any thread
  muster::init_log("operator");
  const auto metrics = muster::op::parse_ip_port("--metrics-address", args.metrics_address);
  auto problems = muster::op::parse_node_problems(args.node_problems);
  muster::Status done = !metrics ? metrics.error() : !problems ? problems.error() : muster::Status();
  if (problems) options.node_problems = *std::move(problems);
  if (metrics) {
    options.metrics_ip = metrics->ip;
    options.metrics_port = metrics->port;
  }
  if (done && !args.await.job.empty()) {
    args.await.kubeconfig = options.kubeconfig;
    done = muster::op::await_job(args.await, signals);
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
