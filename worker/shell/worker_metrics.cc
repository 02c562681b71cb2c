// worker/shell/worker_metrics.cc: the worker's gauges and counters
#include "worker/shell/worker_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

namespace muster::worker {
namespace {

prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

class PrometheusMetrics final : public WorkerMetrics {
 public:
  PrometheusMetrics() {
    prometheus::BuildGauge()
        .Name("muster_worker_build_info")
        .Help("Version of the worker; always 1")
        .Register(*registry_)
        .Add({{"version", MUSTER_VERSION}})
        .Set(1);
  }

  Status serve(MetricsServer::Options options) {
    MUSTER_ASSIGN(server_, MetricsServer::start(registry_, std::move(options)));
    return {};
  }

  void show(const Progress& progress) override {
    step_.Set(static_cast<double>(progress.step));
    loss_.Set(progress.loss);
    rate_.Set(progress.examples_per_second);
    sent_.Increment(static_cast<double>(progress.payload_bytes_sent) - sent_.Value());
    expected_.Increment(static_cast<double>(progress.payload_bytes_expected) - expected_.Value());
  }

 private:
  std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  prometheus::Gauge& step_ = gauge(*registry_, "muster_worker_step", "Completed training steps of the job");
  prometheus::Gauge& loss_ =
      gauge(*registry_, "muster_worker_loss", "Mean training loss of the last global batch");
  prometheus::Gauge& rate_ = gauge(*registry_, "muster_worker_examples_per_second",
                                   "Examples trained on a second by the whole job, smoothed");
  prometheus::Counter& sent_ =
      counter(*registry_, "muster_worker_payload_bytes_total", "Gradient bytes sent by this worker");
  prometheus::Counter& expected_ =
      counter(*registry_, "muster_worker_payload_bytes_expected_total",
              "Gradient bytes that the topology's formula says for the same steps");
  std::unique_ptr<MetricsServer> server_;
};

}  // namespace

Result<std::unique_ptr<WorkerMetrics>> WorkerMetrics::start(MetricsServer::Options options) {
  auto metrics = std::make_unique<PrometheusMetrics>();
  MUSTER_TRY(metrics->serve(std::move(options)));
  return std::unique_ptr<WorkerMetrics>(std::move(metrics));
}

}  // namespace muster::worker
