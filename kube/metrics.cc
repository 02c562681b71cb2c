// kube/metrics.cc: registration of the controller metrics
#include "kube/metrics.h"

#include <utility>

#include "common/platform/metric_families.h"

namespace muster::kube {
namespace {

prometheus::Labels labels(const std::string& name) { return {{"name", name}, {"controller", name}}; }

// controller-runtime's: 10 ns to 1000 s by powers of ten.
prometheus::Histogram::BucketBoundaries duration_buckets() {
  return {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100, 1000};
}

}  // namespace

QueueMetrics::QueueMetrics(prometheus::Registry& registry, const std::string& name)
    : depth_(gauge_family(registry, "workqueue_depth").Add(labels(name))),
      adds_(counter_family(registry, "workqueue_adds_total").Add(labels(name))),
      queue_seconds_(histogram_family(registry, "workqueue_queue_duration_seconds")
                         .Add(labels(name), duration_buckets())),
      work_seconds_(histogram_family(registry, "workqueue_work_duration_seconds")
                        .Add(labels(name), duration_buckets())),
      retries_(counter_family(registry, "workqueue_retries_total").Add(labels(name))),
      unfinished_(gauge_family(registry, "workqueue_unfinished_work_seconds").Add(labels(name))),
      longest_(gauge_family(registry, "workqueue_longest_running_processor_seconds").Add(labels(name))) {}

void QueueMetrics::added(std::size_t depth) {
  adds_.Increment();
  depth_.Set(static_cast<double>(depth));
}

void QueueMetrics::started(std::size_t depth, double waited_seconds) {
  depth_.Set(static_cast<double>(depth));
  queue_seconds_.Observe(waited_seconds);
}

void QueueMetrics::finished(double worked_seconds) { work_seconds_.Observe(worked_seconds); }

void QueueMetrics::retried() { retries_.Increment(); }

void QueueMetrics::sample(const WorkQueue& queue) {
  const WorkQueue::Unfinished work = queue.unfinished();
  unfinished_.Set(work.sum_seconds);
  longest_.Set(work.longest_seconds);
}

RequestMetrics::RequestMetrics(prometheus::Registry& registry, std::string host)
    : requests_(counter_family(registry, "rest_client_requests_total")), host_(std::move(host)) {}

void RequestMetrics::count(std::string_view method, std::string_view code) {
  requests_.Add({{"method", std::string(method)}, {"code", std::string(code)}, {"host", host_}}).Increment();
}

}  // namespace muster::kube
