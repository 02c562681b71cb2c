#pragma once  // aggregator/shell/aggregator_metrics.h: the aggregator's entries in /metrics
#include <cstdint>
#include <memory>
#include <string_view>

namespace prometheus {
class Registry;
}

namespace muster::agg {

class AggregatorMetrics {  // thread-safe
 public:
  AggregatorMetrics();
  ~AggregatorMetrics();
  AggregatorMetrics(const AggregatorMetrics&) = delete;
  AggregatorMetrics& operator=(const AggregatorMetrics&) = delete;

  [[nodiscard]] std::shared_ptr<prometheus::Registry> registry() const;

  void set_round(std::int64_t committed, std::int64_t rounds);
  void set_connected(std::int64_t clients);
  void count_update(std::string_view verdict);                          // accepted, late, rejected
  void count_bytes(std::string_view direction, std::uint64_t payload);  // sent, received
  void observe_round(double seconds, bool committed);
  void set_evaluation(double loss, double accuracy);

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace muster::agg
