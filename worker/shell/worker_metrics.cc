// worker/shell/worker_metrics.cc: the worker's gauges and counters
#include "worker/shell/worker_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

namespace muster::worker {
namespace {

prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

struct WorkerMetrics::Families {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  prometheus::Gauge& step = gauge(*registry, "muster_worker_step", "Completed training steps of the job");
  prometheus::Gauge& loss =
      gauge(*registry, "muster_worker_loss", "Mean training loss of the last global batch");
  prometheus::Gauge& rate = gauge(*registry, "muster_worker_examples_per_second",
                                  "Examples trained on a second by the whole job, smoothed");
  prometheus::Counter& sent =
      counter(*registry, "muster_worker_payload_bytes_total", "Gradient bytes sent by this worker");
  prometheus::Counter& expected =
      counter(*registry, "muster_worker_payload_bytes_expected_total",
              "Gradient bytes that the topology's formula says for the same steps");
};

WorkerMetrics::WorkerMetrics() : families_(std::make_unique<Families>()) {
  prometheus::BuildGauge()
      .Name("muster_worker_build_info")
      .Help("Version of the worker; always 1")
      .Register(*families_->registry)
      .Add({{"version", MUSTER_VERSION}})
      .Set(1);
}
WorkerMetrics::~WorkerMetrics() = default;

std::shared_ptr<prometheus::Registry> WorkerMetrics::registry() const { return families_->registry; }

void WorkerMetrics::show(const Progress& progress) {
  Families& families = *families_;
  families.step.Set(static_cast<double>(progress.step));
  families.loss.Set(progress.loss);
  families.rate.Set(progress.examples_per_second);
  families.sent.Increment(static_cast<double>(progress.payload_bytes_sent) - families.sent.Value());
  families.expected.Increment(static_cast<double>(progress.payload_bytes_expected) -
                              families.expected.Value());
}

}  // namespace muster::worker
