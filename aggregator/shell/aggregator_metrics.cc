// aggregator/shell/aggregator_metrics.cc: prometheus-cpp families behind AggregatorMetrics
#include "aggregator/shell/aggregator_metrics.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

#include "common/platform/metric_families.h"
#include "pod/guarded_port.h"

namespace muster::agg {

namespace {

const prometheus::Histogram::BucketBoundaries kRoundSeconds{0.05, 0.1, 0.25, 0.5, 1,   2.5, 5,
                                                            10,   30,  60,   120, 300, 900, 3600};

const prometheus::Histogram::BucketBoundaries kSyncSeconds{
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5};

// Up to how many versions, and the label.
constexpr std::array<std::pair<std::int64_t, const char*>, 7> kStaleness{
    {{0, "0"},
     {1, "1"},
     {2, "2"},
     {4, "3-4"},
     {8, "5-8"},
     {16, "9-16"},
     {std::numeric_limits<std::int64_t>::max(), "17-"}}};

constexpr std::array<const char*, 12> kCallRefusals{
    "client_of_another", "other_data", "task_of_another", "unknown_task", "too_many_examples", "unusable",
    "damaged",           "malformed",  "no_room",         "no_disk",      "too_many_calls",    "displaced"};

}  // namespace

struct AggregatorMetrics::Families {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  prometheus::Gauge& round = gauge_family(*registry, "muster_aggregator_round").Add({});
  prometheus::Gauge& rounds = gauge_family(*registry, "muster_aggregator_rounds").Add({});
  prometheus::Gauge& clients = gauge_family(*registry, "muster_aggregator_connected_clients").Add({});
  prometheus::Family<prometheus::Gauge>& round_clients =
      gauge_family(*registry, "muster_aggregator_round_clients");
  prometheus::Gauge& selected = round_clients.Add({{"state", "selected"}});
  prometheus::Gauge& configured = round_clients.Add({{"state", "configured"}});
  prometheus::Gauge& reported = round_clients.Add({{"state", "reported"}});
  prometheus::Counter& bytes_expected =
      counter_family(*registry, "muster_aggregator_bytes_expected_total").Add({});
  prometheus::Gauge& upload_bytes = gauge_family(*registry, "muster_aggregator_upload_memory_bytes").Add({});
  prometheus::Gauge& upload_bytes_max =
      gauge_family(*registry, "muster_aggregator_upload_memory_max_bytes").Add({});
  prometheus::Gauge& loss = gauge_family(*registry, "muster_aggregator_test_loss").Add({});
  prometheus::Gauge& accuracy = gauge_family(*registry, "muster_aggregator_test_accuracy").Add({});
  prometheus::Gauge& step_norm = gauge_family(*registry, "muster_aggregator_step_norm").Add({});
  prometheus::Family<prometheus::Gauge>& state_norm = gauge_family(*registry, "muster_aggregator_state_norm");
  prometheus::Family<prometheus::Gauge>& drift = gauge_family(*registry, "muster_aggregator_drift");
  prometheus::Family<prometheus::Gauge>& devices =
      gauge_family(*registry, "muster_aggregator_device_accuracy");
  prometheus::Family<prometheus::Gauge>& scored = gauge_family(*registry, "muster_aggregator_scored_updates");
  prometheus::Family<prometheus::Counter>& updates =
      counter_family(*registry, "muster_aggregator_updates_total");
  prometheus::Family<prometheus::Counter>& taken =
      counter_family(*registry, "muster_aggregator_updates_taken_total");
  prometheus::Counter& partial = counter_family(*registry, "muster_aggregator_partial_updates_total").Add({});
  prometheus::Family<prometheus::Counter>& bytes = counter_family(*registry, "muster_aggregator_bytes_total");
  prometheus::Counter& sent = bytes.Add({{"direction", "sent"}});  // found once: every chunk is counted
  prometheus::Counter& received = bytes.Add({{"direction", "received"}});
  prometheus::Family<prometheus::Counter>& refused =
      counter_family(*registry, "muster_federation_calls_refused_total");
  prometheus::Gauge& journal_bytes = gauge_family(*registry, "muster_aggregator_journal_bytes").Add({});
  prometheus::Gauge& journal_full = gauge_family(*registry, "muster_aggregator_journal_full").Add({});
  prometheus::Histogram& journal_sync =
      histogram_family(*registry, "muster_aggregator_journal_sync_seconds").Add({}, kSyncSeconds);
  prometheus::Counter& recovered =
      counter_family(*registry, "muster_aggregator_updates_recovered_total").Add({});
  prometheus::Family<prometheus::Histogram>& round_seconds =
      histogram_family(*registry, "muster_aggregator_round_seconds");
};

AggregatorMetrics::AggregatorMetrics() : families_(std::make_unique<Families>()) {
  for (const char* verdict : {"accepted", "late", "rejected"}) families_->updates.Add({{"verdict", verdict}});
  for (const auto& [most, label] : kStaleness) families_->taken.Add({{"staleness", label}});
  for (const char* reason : kCallRefusals) families_->refused.Add({{"reason", reason}});
  for (const std::string_view reason : muster::kRefusals)
    families_->refused.Add({{"reason", std::string(reason)}});
  for (const char* outcome : {"committed", "abandoned"}) {
    families_->round_seconds.Add({{"outcome", outcome}}, kRoundSeconds);
  }
}
AggregatorMetrics::~AggregatorMetrics() = default;

std::shared_ptr<prometheus::Registry> AggregatorMetrics::registry() const { return families_->registry; }

void AggregatorMetrics::set_round(std::int64_t committed, std::int64_t rounds) {
  families_->round.Set(static_cast<double>(committed));
  families_->rounds.Set(static_cast<double>(rounds));
}
void AggregatorMetrics::set_connected(std::int64_t clients) {
  families_->clients.Set(static_cast<double>(clients));
}
void AggregatorMetrics::count_update(std::string_view verdict) {
  families_->updates.Add({{"verdict", std::string(verdict)}}).Increment();
}
void AggregatorMetrics::count_taken(std::int64_t staleness, bool partial) {
  const auto found = std::find_if(kStaleness.begin(), kStaleness.end(),
                                  [&](const auto& label) { return staleness <= label.first; });
  families_->taken.Add({{"staleness", found->second}}).Increment();
  if (partial) families_->partial.Increment();
}
void AggregatorMetrics::count_sent(std::uint64_t payload_bytes) {
  families_->sent.Increment(static_cast<double>(payload_bytes));
}
void AggregatorMetrics::count_received(std::uint64_t payload_bytes) {
  families_->received.Increment(static_cast<double>(payload_bytes));
}
void AggregatorMetrics::count_refused(Refusal reason) {
  count_refused(kCallRefusals[static_cast<std::size_t>(reason)]);
}
void AggregatorMetrics::count_refused(std::string_view reason) {
  families_->refused.Add({{"reason", std::string(reason)}}).Increment();
}
double AggregatorMetrics::refused(Refusal reason) const {
  return refused(kCallRefusals[static_cast<std::size_t>(reason)]);
}
double AggregatorMetrics::refused(std::string_view reason) const {
  return families_->refused.Add({{"reason", std::string(reason)}}).Value();
}
void AggregatorMetrics::observe_round(double seconds, bool committed) {
  families_->round_seconds.Add({{"outcome", committed ? "committed" : "abandoned"}}, kRoundSeconds)
      .Observe(seconds);
}
void AggregatorMetrics::sample(const control::v1::AggregatorProgress& progress, std::uint64_t upload_bytes,
                               std::uint64_t upload_bytes_max) {
  families_->selected.Set(progress.selected());
  families_->configured.Set(progress.configured());
  families_->reported.Set(progress.reported());
  const double more = static_cast<double>(progress.bytes_expected()) - families_->bytes_expected.Value();
  if (more > 0) families_->bytes_expected.Increment(more);
  families_->upload_bytes.Set(static_cast<double>(upload_bytes));
  families_->upload_bytes_max.Set(static_cast<double>(upload_bytes_max));
}
void AggregatorMetrics::set_journal(std::uint64_t bytes, bool full) {
  families_->journal_bytes.Set(static_cast<double>(bytes));
  families_->journal_full.Set(full ? 1 : 0);
}
void AggregatorMetrics::observe_journal_sync(double seconds) { families_->journal_sync.Observe(seconds); }
void AggregatorMetrics::count_recovered(std::uint64_t updates) {
  families_->recovered.Increment(static_cast<double>(updates));
}
void AggregatorMetrics::set_step_norm(double norm) { families_->step_norm.Set(norm); }
void AggregatorMetrics::set_state_norm(const std::string& vector, double norm) {
  families_->state_norm.Add({{"vector", vector}}).Set(norm);
}
void AggregatorMetrics::set_drift(double drift) { families_->drift.Add({}).Set(drift); }
void AggregatorMetrics::set_devices(const std::string& model, const DeviceAccuracies& accuracies) {
  for (const auto& [figure, value] :
       {std::pair("weighted", accuracies.weighted), std::pair("mean", accuracies.mean),
        std::pair("worst_tenth", accuracies.worst_tenth), std::pair("variance", accuracies.variance)})
    families_->devices.Add({{"model", model}, {"figure", figure}}).Set(value);
}
void AggregatorMetrics::set_scored(const ScoredUpdates& updates) {
  families_->scored.Add({{"finding", "scored"}}).Set(static_cast<double>(updates.scored));
  families_->scored.Add({{"finding", "harmful"}}).Set(static_cast<double>(updates.harmful));
  families_->scored.Add({{"finding", "copy"}}).Set(static_cast<double>(updates.copies));
}
void AggregatorMetrics::set_evaluation(double loss, std::optional<double> accuracy) {
  families_->loss.Set(loss);
  if (accuracy) families_->accuracy.Set(*accuracy);
}

}  // namespace muster::agg
