#pragma once  // aggregator/strategy/fed_avg.h: the mean of the updates, weighted by examples
#include <vector>

#include "aggregator/strategy/strategy.h"

namespace muster::agg {

// step = sum(n_i delta_i) / sum(n_i), summed in float64: McMahan et al. 2017, Algorithm 1. Memory: 8 P bytes,
// whatever the number of clients. The order of arrival moves the result by float64 rounding alone.
class FedAvg final : public Strategy {
 public:
  explicit FedAvg(std::size_t parameter_count) : sum_(parameter_count, 0.0) {}
  [[nodiscard]] Status accumulate(const Update& update) override;
  [[nodiscard]] Status finish(std::span<float> step) && override;

 private:
  std::vector<double> sum_;  // of n_i * delta_i
  std::uint64_t examples_ = 0;
};

}  // namespace muster::agg
