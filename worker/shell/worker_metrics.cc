// worker/shell/worker_metrics.cc: the worker's gauges and counters
#include "worker/shell/worker_metrics.h"

#include "common/platform/metric_families.h"

namespace muster::worker {
namespace {

// The process's total of a figure that begins at 0 in every membership.
struct Total {
  prometheus::Counter& counter;
  double seen = 0;

  void advance(double figure) {
    counter.Increment(figure < seen ? figure : figure - seen);
    seen = figure;
  }
};

}  // namespace

struct WorkerMetrics::Families {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  prometheus::Gauge& step = gauge_family(*registry, "muster_worker_step").Add({});
  prometheus::Gauge& loss = gauge_family(*registry, "muster_worker_loss").Add({});
  prometheus::Gauge& rate = gauge_family(*registry, "muster_worker_examples_per_second").Add({});
  Total sent{counter_family(*registry, "muster_worker_payload_bytes_total").Add({})};
  Total expected{counter_family(*registry, "muster_worker_payload_bytes_expected_total").Add({})};
  Total skipped{counter_family(*registry, "muster_worker_checkpoints_skipped_total").Add({})};
  prometheus::Family<prometheus::Counter>& refused =
      counter_family(*registry, "muster_data_connections_refused_total");
};

WorkerMetrics::WorkerMetrics() : families_(std::make_unique<Families>()) {
  gauge_family(*families_->registry, "muster_worker_build_info").Add({{"version", MUSTER_VERSION}}).Set(1);
  for (const Refusal reason : kRefusals) families_->refused.Add({{"reason", std::string(label_of(reason))}});
}
WorkerMetrics::~WorkerMetrics() = default;

std::shared_ptr<prometheus::Registry> WorkerMetrics::registry() const { return families_->registry; }

void WorkerMetrics::show(const Progress& progress) {
  Families& families = *families_;
  families.step.Set(static_cast<double>(progress.step));
  families.loss.Set(progress.loss);
  families.rate.Set(progress.examples_per_second);
  families.sent.advance(static_cast<double>(progress.payload_bytes_sent));
  families.expected.advance(static_cast<double>(progress.payload_bytes_expected));
  families.skipped.advance(static_cast<double>(progress.checkpoints_skipped));
}

void WorkerMetrics::count_refused(Refusal reason) {
  families_->refused.Add({{"reason", std::string(label_of(reason))}}).Increment();
}

}  // namespace muster::worker
