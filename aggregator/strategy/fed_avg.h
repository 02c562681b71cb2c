#pragma once  // aggregator/strategy/fed_avg.h: the mean of the updates, weighted by examples
#include <vector>

#include "aggregator/strategy/strategy.h"

namespace muster::agg {

// model += sum(n_i delta_i) / sum(n_i): McMahan et al. 2017, Algorithm 1. Memory: 4 P bytes, whatever the
// number of clients: the mean of what has come, which each update moves by its share (West, CACM 22(9),
// 1979).
//
// A fold is computed in float64 and rounded once, to float32. So the mean of n updates is off by at most
// n * 2^-24 of the largest value among them, for any order of arrival, and by about sqrt(n) * 2^-24 of the
// mean as a rule; the same order gives the same bits. The model itself is rounded to 2^-24 of its own values,
// which are the larger ones. A mean, unlike a sum, cannot overflow.
class FedAvg final : public Strategy {
 public:
  explicit FedAvg(std::size_t parameter_count) : mean_(parameter_count, 0.0F) {}
  [[nodiscard]] Status accumulate(const Update& update) override;
  [[nodiscard]] Result<std::vector<float>> finish(std::span<const float> model) && override;

 private:
  std::vector<float> mean_;
  std::uint64_t examples_ = 0;  // behind it
};

}  // namespace muster::agg
