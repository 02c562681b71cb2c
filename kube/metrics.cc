// kube/metrics.cc: registration of the controller metrics
#include "kube/metrics.h"

#include <utility>

namespace muster::kube {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

prometheus::Labels labels(const std::string& name) { return {{"name", name}, {"controller", name}}; }

// controller-runtime's: 10 ns to 1000 s by powers of ten.
prometheus::Histogram::BucketBoundaries duration_buckets() {
  return {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100, 1000};
}

}  // namespace

QueueMetrics::QueueMetrics(prometheus::Registry& registry, const std::string& name)
    : depth_(BuildGauge()
                 .Name("workqueue_depth")
                 .Help("Current depth of workqueue")
                 .Register(registry)
                 .Add(labels(name))),
      adds_(BuildCounter()
                .Name("workqueue_adds_total")
                .Help("Total number of adds handled by workqueue")
                .Register(registry)
                .Add(labels(name))),
      queue_seconds_(BuildHistogram()
                         .Name("workqueue_queue_duration_seconds")
                         .Help("How long in seconds an item stays in workqueue before being requested")
                         .Register(registry)
                         .Add(labels(name), duration_buckets())),
      work_seconds_(BuildHistogram()
                        .Name("workqueue_work_duration_seconds")
                        .Help("How long in seconds processing an item from workqueue takes")
                        .Register(registry)
                        .Add(labels(name), duration_buckets())),
      retries_(BuildCounter()
                   .Name("workqueue_retries_total")
                   .Help("Total number of retries handled by workqueue")
                   .Register(registry)
                   .Add(labels(name))),
      unfinished_(
          BuildGauge()
              .Name("workqueue_unfinished_work_seconds")
              .Help(
                  "Seconds of work in progress that work_duration does not show yet; large values mean stuck")
              .Register(registry)
              .Add(labels(name))),
      longest_(BuildGauge()
                   .Name("workqueue_longest_running_processor_seconds")
                   .Help("How many seconds the longest running processor of workqueue has been running")
                   .Register(registry)
                   .Add(labels(name))) {}

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
    : requests_(BuildCounter()
                    .Name("rest_client_requests_total")
                    .Help("Number of HTTP requests, partitioned by status code, method, and host")
                    .Register(registry)),
      host_(std::move(host)) {}

void RequestMetrics::count(std::string_view method, std::string_view code) {
  requests_.Add({{"method", std::string(method)}, {"code", std::string(code)}, {"host", host_}}).Increment();
}

}  // namespace muster::kube
