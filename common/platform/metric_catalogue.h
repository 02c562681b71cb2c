#pragma once  // common/platform/metric_catalogue.h: every metric of Muster's programs, once; programs
              // register by name (metric_families.h), docs/metrics.md and the dashboards are compared with it
#include <string_view>

namespace muster {

enum class MetricType { kCounter, kGauge, kHistogram };

// As Prometheus sees it. Names of objects are never labels: a counter lives as long as its process, objects
// come and go.
struct Metric {
  std::string_view program;  // operator, worker, aggregator, device; pod: the last three
  std::string_view name;
  MetricType type;
  std::string_view labels;  // "kind, phase"; empty: none
  std::string_view help;
};

// The first ones have the names of controller-runtime and client-go, so that existing dashboards work.
inline constexpr Metric kMetricCatalogue[] = {
    {"operator", "controller_runtime_max_concurrent_reconciles", MetricType::kGauge, "controller",
     "Maximum number of concurrent reconciles per controller"},
    {"operator", "controller_runtime_active_workers", MetricType::kGauge, "controller",
     "Number of currently used workers per controller"},
    {"operator", "controller_runtime_reconcile_total", MetricType::kCounter, "controller, result",
     "Total number of reconciliations per controller"},
    {"operator", "controller_runtime_reconcile_errors_total", MetricType::kCounter, "controller",
     "Total number of reconciliation errors per controller"},
    {"operator", "controller_runtime_reconcile_time_seconds", MetricType::kHistogram, "controller",
     "Length of time per reconciliation per controller"},
    {"operator", "workqueue_depth", MetricType::kGauge, "name, controller", "Current depth of workqueue"},
    {"operator", "workqueue_adds_total", MetricType::kCounter, "name, controller",
     "Total number of adds handled by workqueue"},
    {"operator", "workqueue_queue_duration_seconds", MetricType::kHistogram, "name, controller",
     "How long in seconds an item stays in workqueue before being requested"},
    {"operator", "workqueue_work_duration_seconds", MetricType::kHistogram, "name, controller",
     "How long in seconds processing an item from workqueue takes"},
    {"operator", "workqueue_retries_total", MetricType::kCounter, "name, controller",
     "Total number of retries handled by workqueue"},
    {"operator", "workqueue_unfinished_work_seconds", MetricType::kGauge, "name, controller",
     "Seconds of work in progress that work_duration does not show yet; large values mean stuck"},
    {"operator", "workqueue_longest_running_processor_seconds", MetricType::kGauge, "name, controller",
     "How many seconds the longest running processor of workqueue has been running"},
    {"operator", "rest_client_requests_total", MetricType::kCounter, "code, method, host",
     "Number of HTTP requests, partitioned by status code, method, and host"},
    {"operator", "leader_election_master_status", MetricType::kGauge, "name",
     "1 on the replica that works, by the Lease of this name or alone; 0 on those that stand by"},
    {"operator", "muster_restarts_total", MetricType::kCounter, "kind",
     "Restarts that counted towards runPolicy.maxRestarts"},
    {"operator", "muster_disruptions_total", MetricType::kCounter, "kind",
     "Restarts after evictions, preemptions and deletions of pods, which do not count"},
    {"operator", "muster_finished_total", MetricType::kCounter, "kind, result",
     "Objects that reached their end"},
    {"operator", "muster_pods_created_total", MetricType::kCounter, "kind", "Pods created"},
    {"operator", "muster_jobs", MetricType::kGauge, "kind, phase", "Objects by kind and phase"},
    {"operator", "muster_build_info", MetricType::kGauge, "version", "The version that runs; always 1"},
    {"pod", "muster_control_calls_refused_total", MetricType::kCounter, "reason",
     "Connections and calls to the control port that were turned away, by reason"},
    {"worker", "muster_worker_step", MetricType::kGauge, "", "Completed training steps of the job"},
    {"worker", "muster_worker_loss", MetricType::kGauge, "", "Mean training loss of the last global batch"},
    {"worker", "muster_worker_examples_per_second", MetricType::kGauge, "",
     "Examples trained on a second by the whole job, smoothed"},
    {"worker", "muster_worker_payload_bytes_total", MetricType::kCounter, "",
     "Gradient bytes sent by this worker"},
    {"worker", "muster_worker_payload_bytes_expected_total", MetricType::kCounter, "",
     "Gradient bytes that the topology's formula says for the same steps"},
    {"worker", "muster_worker_checkpoints_skipped_total", MetricType::kCounter, "",
     "Checkpoints not written because the one before was still being written"},
    {"worker", "muster_data_connections_refused_total", MetricType::kCounter, "reason",
     "Connections at the data port, or to a peer's, that did not prove to be of this membership"},
    {"worker", "muster_worker_build_info", MetricType::kGauge, "version", "Version of the worker; always 1"},
    {"aggregator", "muster_aggregator_round", MetricType::kGauge, "",
     "The newest committed round; until it is on disk, a kill may take it back"},
    {"aggregator", "muster_aggregator_rounds", MetricType::kGauge, "", "Rounds wanted"},
    {"aggregator", "muster_aggregator_connected_clients", MetricType::kGauge, "", "Clients that are here"},
    {"aggregator", "muster_aggregator_test_loss", MetricType::kGauge, "",
     "Test loss of the newest evaluated model"},
    {"aggregator", "muster_aggregator_test_accuracy", MetricType::kGauge, "",
     "Test accuracy of the newest evaluated model, 0 to 1"},
    {"aggregator", "muster_aggregator_updates_total", MetricType::kCounter, "verdict",
     "Updates answered, by verdict"},
    {"aggregator", "muster_aggregator_bytes_total", MetricType::kCounter, "direction",
     "Payload bytes of models and updates, by direction"},
    {"aggregator", "muster_federation_calls_refused_total", MetricType::kCounter, "reason",
     "Calls of clients that were refused, or ended early, by reason"},
    {"aggregator", "muster_aggregator_round_seconds", MetricType::kHistogram, "outcome",
     "From the selection to the end of a round, by outcome"},
    {"device", "muster_device_clients", MetricType::kGauge, "", "Clients that this pod plays"},
    {"device", "muster_device_updates_total", MetricType::kCounter, "outcome",
     "Tasks that ended, by outcome"},
    {"device", "muster_device_bytes_total", MetricType::kCounter, "direction",
     "Payload bytes of models and updates, by direction"},
};

}  // namespace muster
