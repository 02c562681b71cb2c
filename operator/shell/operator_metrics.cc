// operator/shell/operator_metrics.cc: registration and counting
#include "operator/shell/operator_metrics.h"

#include <algorithm>
#include <array>

#include "common/platform/metric_families.h"
#include "operator/api/status.h"

namespace muster::op {
namespace {

constexpr std::array kPhases{"Pending", "Running", "Restarting", "Suspended", "Succeeded", "Failed"};

// controller-runtime's buckets, thinned out.
prometheus::Histogram::BucketBoundaries seconds_buckets() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
}

prometheus::Histogram::BucketBoundaries cpu_buckets() {
  return {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1};
}

api::JobStatus status_of(const Json& object) {
  const auto found = object.find("status");
  return api::status_from_json(found == object.end() ? Json() : *found);
}

void add(prometheus::Counter& counter, std::int64_t by) {
  if (by > 0) counter.Increment(static_cast<double>(by));
}

}  // namespace

OperatorMetrics::OperatorMetrics(prometheus::Registry& registry)
    : max_workers_(gauge_family(registry, "controller_runtime_max_concurrent_reconciles")),
      active_workers_(gauge_family(registry, "controller_runtime_active_workers")),
      reconciles_(counter_family(registry, "controller_runtime_reconcile_total")),
      errors_(counter_family(registry, "controller_runtime_reconcile_errors_total")),
      seconds_(histogram_family(registry, "controller_runtime_reconcile_time_seconds")),
      cpu_seconds_(histogram_family(registry, "muster_reconcile_cpu_seconds")),
      restarts_(counter_family(registry, "muster_restarts_total")),
      disruptions_(counter_family(registry, "muster_disruptions_total")),
      finished_(counter_family(registry, "muster_finished_total")),
      pods_(counter_family(registry, "muster_pods_created_total")),
      jobs_(gauge_family(registry, "muster_jobs")),
      leader_(gauge_family(registry, "leader_election_master_status")) {
  gauge_family(registry, "muster_build_info").Add({{"version", MUSTER_VERSION}}).Set(1);
  // From the start: a counter that begins with its first event hides that event from rate() and increase().
  for (const char* kind : {"DistributedJob", "FederatedRound"}) {
    restarts_.Add({{"kind", kind}});
    disruptions_.Add({{"kind", kind}});
    pods_.Add({{"kind", kind}});
    for (const char* result : {"Succeeded", "Failed"}) finished_.Add({{"kind", kind}, {"result", result}});
  }
}

void OperatorMetrics::set_workers(const std::string& controller, int workers) {
  max_workers_.Add({{"controller", controller}}).Set(workers);
  active_workers_.Add({{"controller", controller}}).Set(0);
  for (const char* result : {"success", "error", "requeue", "requeue_after"}) {
    reconciles_.Add({{"controller", controller}, {"result", result}});
  }
  errors_.Add({{"controller", controller}});
}

void OperatorMetrics::reconcile_started(const std::string& controller) {
  active_workers_.Add({{"controller", controller}}).Increment();
}

void OperatorMetrics::reconcile_ended(const std::string& controller, const std::string& result,
                                      double seconds, double cpu_seconds) {
  active_workers_.Add({{"controller", controller}}).Decrement();
  reconciles_.Add({{"controller", controller}, {"result", result}}).Increment();
  if (result == "error") errors_.Add({{"controller", controller}}).Increment();
  seconds_.Add({{"controller", controller}}, seconds_buckets()).Observe(seconds);
  cpu_seconds_.Add({{"controller", controller}}, cpu_buckets()).Observe(cpu_seconds);
}

void OperatorMetrics::status_changed(const std::string& kind, const Json& before, const Json& after) {
  const api::JobStatus old_status = status_of(before);
  const api::JobStatus new_status = status_of(after);
  add(restarts_.Add({{"kind", kind}}), new_status.restarts - old_status.restarts);
  add(disruptions_.Add({{"kind", kind}}), new_status.disruptions - old_status.disruptions);
  if (new_status.finished() && !old_status.finished()) {
    const std::string result = api::is_true(new_status.conditions, "Succeeded") ? "Succeeded" : "Failed";
    finished_.Add({{"kind", kind}, {"result", result}}).Increment();
  }
}

void OperatorMetrics::pods_created(const std::string& kind, std::int64_t count) {
  add(pods_.Add({{"kind", kind}}), count);
}

void OperatorMetrics::set_leader(const std::string& lease, bool leads) {
  leader_.Add({{"name", lease}}).Set(leads ? 1 : 0);
}

void OperatorMetrics::set_jobs(const std::string& kind, const std::map<std::string, int>& counts) {
  for (const char* phase : kPhases) {
    const auto found = counts.find(phase);
    jobs_.Add({{"kind", kind}, {"phase", phase}}).Set(found == counts.end() ? 0 : found->second);
  }
}

}  // namespace muster::op
