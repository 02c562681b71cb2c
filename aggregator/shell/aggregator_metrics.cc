// aggregator/shell/aggregator_metrics.cc: prometheus-cpp families behind AggregatorMetrics
#include "aggregator/shell/aggregator_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>

namespace muster::agg {

namespace {

const prometheus::Histogram::BucketBoundaries kRoundSeconds{0.05, 0.1, 0.25, 0.5, 1,   2.5, 5,
                                                            10,   30,  60,   120, 300, 900, 3600};

prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

struct AggregatorMetrics::Families {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  prometheus::Gauge& round =
      gauge(*registry, "muster_aggregator_round",
            "The newest committed round; until it is on disk, a kill may take it back");
  prometheus::Gauge& rounds = gauge(*registry, "muster_aggregator_rounds", "Rounds wanted");
  prometheus::Gauge& clients =
      gauge(*registry, "muster_aggregator_connected_clients", "Clients that are here");
  prometheus::Gauge& loss =
      gauge(*registry, "muster_aggregator_test_loss", "Test loss of the newest evaluated model");
  prometheus::Gauge& accuracy = gauge(*registry, "muster_aggregator_test_accuracy",
                                      "Test accuracy of the newest evaluated model, 0 to 1");
  prometheus::Family<prometheus::Counter>& updates = prometheus::BuildCounter()
                                                         .Name("muster_aggregator_updates_total")
                                                         .Help("Updates answered, by verdict")
                                                         .Register(*registry);
  prometheus::Family<prometheus::Counter>& bytes =
      prometheus::BuildCounter()
          .Name("muster_aggregator_bytes_total")
          .Help("Payload bytes of models and updates, by direction")
          .Register(*registry);
  prometheus::Family<prometheus::Histogram>& round_seconds =
      prometheus::BuildHistogram()
          .Name("muster_aggregator_round_seconds")
          .Help("From the selection to the end of a round, by outcome")
          .Register(*registry);
};

AggregatorMetrics::AggregatorMetrics() : families_(std::make_unique<Families>()) {
  for (const char* verdict : {"accepted", "late", "rejected"}) families_->updates.Add({{"verdict", verdict}});
  for (const char* direction : {"sent", "received"}) families_->bytes.Add({{"direction", direction}});
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
void AggregatorMetrics::count_bytes(std::string_view direction, std::uint64_t payload) {
  families_->bytes.Add({{"direction", std::string(direction)}}).Increment(static_cast<double>(payload));
}
void AggregatorMetrics::observe_round(double seconds, bool committed) {
  families_->round_seconds.Add({{"outcome", committed ? "committed" : "abandoned"}}, kRoundSeconds)
      .Observe(seconds);
}
void AggregatorMetrics::set_evaluation(double loss, double accuracy) {
  families_->loss.Set(loss);
  families_->accuracy.Set(accuracy);
}

}  // namespace muster::agg
