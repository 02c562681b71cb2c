// worker/shell/worker_metrics.cc: the worker's gauges and counters
#include "worker/shell/worker_metrics.h"

#include <string>
#include <vector>

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

// Of Shard::staleness: "0", "1", "2-3", "4-7", ...
std::string staleness_label(std::size_t bucket) {
  if (bucket < 2) return std::to_string(bucket);
  const std::int64_t first = std::int64_t{1} << (bucket - 1);
  return std::to_string(first) + "-" + std::to_string(2 * first - 1);
}

}  // namespace

struct WorkerMetrics::Families {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  prometheus::Gauge& step = gauge_family(*registry, "muster_worker_step").Add({});
  prometheus::Gauge& wanted = gauge_family(*registry, "muster_worker_steps_wanted").Add({});
  Total steps{counter_family(*registry, "muster_worker_steps_total").Add({})};
  std::vector<Total> seconds{};  // by Activity
  prometheus::Gauge& loss = gauge_family(*registry, "muster_worker_loss").Add({});
  prometheus::Gauge& rate = gauge_family(*registry, "muster_worker_examples_per_second").Add({});
  Total sent{counter_family(*registry, "muster_worker_payload_bytes_total").Add({})};
  Total expected{counter_family(*registry, "muster_worker_payload_bytes_expected_total").Add({})};
  prometheus::Family<prometheus::Gauge>& topology = gauge_family(*registry, "muster_worker_topology");
  prometheus::Gauge* topology_now = nullptr;
  std::string topology_shown{};
  prometheus::Family<prometheus::Gauge>& slowdown = gauge_family(*registry, "muster_worker_slowdown");
  prometheus::Family<prometheus::Gauge>& distance = gauge_family(*registry, "muster_worker_gossip_distance");
  Total outer_steps{counter_family(*registry, "muster_worker_outer_steps_total").Add({})};
  Total dense_buckets{counter_family(*registry, "muster_worker_dense_buckets_total").Add({})};
  Total not_finite{counter_family(*registry, "muster_worker_not_finite_total").Add({})};
  prometheus::Counter& twice = counter_family(*registry, "muster_worker_examples_twice_total").Add({});
  prometheus::Counter& missed = counter_family(*registry, "muster_worker_examples_missed_total").Add({});
  std::optional<std::int64_t> balanced_epoch{};  // the newest whose balance is shown
  Total skipped{counter_family(*registry, "muster_worker_checkpoints_skipped_total").Add({})};
  prometheus::Gauge& checkpoint = gauge_family(*registry, "muster_worker_checkpoint_step").Add({});
  prometheus::Gauge& checkpoint_time = gauge_family(*registry, "muster_worker_checkpoint_seconds").Add({});
  Total replicated{counter_family(*registry, "muster_server_replication_bytes_total").Add({})};
  prometheus::Family<prometheus::Counter>& updates = counter_family(*registry, "muster_server_updates_total");
  std::vector<Total> updates_by_staleness{};
  prometheus::Family<prometheus::Counter>& refused =
      counter_family(*registry, "muster_data_connections_refused_total");
  prometheus::Family<prometheus::Gauge>& gpu_utilization =
      gauge_family(*registry, "muster_gpu_utilization_ratio");
  prometheus::Family<prometheus::Gauge>& gpu_used = gauge_family(*registry, "muster_gpu_memory_used_bytes");
  prometheus::Family<prometheus::Gauge>& gpu_memory = gauge_family(*registry, "muster_gpu_memory_bytes");
  prometheus::Family<prometheus::Gauge>& gpu_temperature =
      gauge_family(*registry, "muster_gpu_temperature_celsius");
  prometheus::Family<prometheus::Gauge>& gpu_power = gauge_family(*registry, "muster_gpu_power_watts");
  prometheus::Family<prometheus::Gauge>& gpu_xid = gauge_family(*registry, "muster_gpu_last_xid");
};

WorkerMetrics::WorkerMetrics() : families_(std::make_unique<Families>()) {
  gauge_family(*families_->registry, "muster_worker_build_info").Add({{"version", MUSTER_VERSION}}).Set(1);
  auto& seconds = counter_family(*families_->registry, "muster_worker_seconds_total");
  for (const std::string_view activity : kActivities)
    families_->seconds.push_back({seconds.Add({{"activity", std::string(activity)}})});
  for (const Refusal reason : kRefusals) families_->refused.Add({{"reason", std::string(label_of(reason))}});
}
WorkerMetrics::~WorkerMetrics() = default;

std::shared_ptr<prometheus::Registry> WorkerMetrics::registry() const { return families_->registry; }

void WorkerMetrics::show(const Progress& progress) {
  Families& families = *families_;
  families.step.Set(static_cast<double>(progress.step));
  families.wanted.Set(static_cast<double>(progress.total_steps));
  families.steps.advance(static_cast<double>(progress.step - progress.resumed_from_step));
  for (std::size_t i = 0; i < kActivities.size(); ++i) families.seconds[i].advance(progress.seconds[i]);
  families.loss.Set(progress.loss);
  families.rate.Set(progress.examples_per_second);
  families.sent.advance(static_cast<double>(progress.payload_bytes_sent));
  families.expected.advance(static_cast<double>(progress.payload_bytes_expected));
  if (progress.topology != families.topology_shown) {
    if (families.topology_now != nullptr) families.topology_now->Set(0);
    families.topology_shown = progress.topology;
    families.topology_now =
        progress.topology.empty() ? nullptr : &families.topology.Add({{"topology", families.topology_shown}});
    if (families.topology_now != nullptr) families.topology_now->Set(1);
  }
  if (progress.slowest) families.slowdown.Add({}).Set(progress.slowest->mine);
  if (progress.distance) families.distance.Add({}).Set(*progress.distance);
  families.outer_steps.advance(static_cast<double>(progress.outer_steps));
  families.dense_buckets.advance(static_cast<double>(progress.dense_buckets));
  families.not_finite.advance(static_cast<double>(progress.mine_not_finite));
  if (progress.ledger) show(*progress.ledger);
  families.skipped.advance(static_cast<double>(progress.checkpoints_skipped));
}

// Epochs that were over when this process began are others'.
void WorkerMetrics::show(const learning::Ledger& ledger) {
  Families& families = *families_;
  for (const learning::EpochBalance& balance : ledger.balances()) {
    if (!families.balanced_epoch || balance.epoch <= *families.balanced_epoch) continue;
    families.twice.Increment(static_cast<double>(balance.twice));
    families.missed.Increment(static_cast<double>(balance.missed));
  }
  families.balanced_epoch = ledger.balances().empty() ? 0 : ledger.balances().back().epoch;
}

void WorkerMetrics::show(const Served& served) {
  Families& families = *families_;
  families.sent.advance(static_cast<double>(served.payload_bytes_sent));
  families.expected.advance(static_cast<double>(served.payload_bytes_expected));
  families.replicated.advance(static_cast<double>(served.replication_bytes_sent));
  for (std::size_t i = families.updates_by_staleness.size(); i < served.updates.size(); ++i)
    families.updates_by_staleness.push_back({families.updates.Add({{"staleness", staleness_label(i)}})});
  for (std::size_t i = 0; i < families.updates_by_staleness.size(); ++i)
    families.updates_by_staleness[i].advance(
        i < served.updates.size() ? static_cast<double>(served.updates[i]) : 0);
}

void WorkerMetrics::checkpoint_on_disk(std::int64_t step, std::optional<double> seconds) {
  families_->checkpoint.Set(static_cast<double>(step));
  if (seconds) families_->checkpoint_time.Set(*seconds);
}

void WorkerMetrics::count_refused(Refusal reason) {
  families_->refused.Add({{"reason", std::string(label_of(reason))}}).Increment();
}

void WorkerMetrics::show(std::size_t gpu, const std::string& uuid, const gpu::Reading& reading) {
  const prometheus::Labels labels{{"gpu", std::to_string(gpu)}, {"uuid", uuid}};
  const auto set = [&labels](prometheus::Family<prometheus::Gauge>& family, const auto& value) {
    if (value) family.Add(labels).Set(static_cast<double>(*value));
  };
  set(families_->gpu_utilization, reading.utilization);
  set(families_->gpu_used, reading.memory_used_bytes);
  set(families_->gpu_memory, reading.memory_bytes);
  set(families_->gpu_temperature, reading.temperature_celsius);
  set(families_->gpu_power, reading.power_watts);
  (void)families_->gpu_xid.Add(labels);  // 0 until there is one
}

void WorkerMetrics::show_xid(std::size_t gpu, const std::string& uuid, std::uint64_t xid) {
  families_->gpu_xid.Add({{"gpu", std::to_string(gpu)}, {"uuid", uuid}}).Set(static_cast<double>(xid));
}

}  // namespace muster::worker
