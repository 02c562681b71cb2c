#pragma once  // aggregator/strategy/fed_buff.h: a buffer of updates, the older the lighter
#include <vector>

#include "aggregator/strategy/strategy.h"
#include "aggregator/strategy/weighted_mean.h"

namespace muster::agg {

// Nguyen et al. 2022, Algorithm 1: of K updates, whatever version each began with,
//   w <- w + eta_g (1/K) sum(s(tau) delta),   s(tau) = 1 / sqrt(1 + tau)
// s(tau) being Contribution::discount. Updates count alike, and the sum is divided by their number, not by
// the sum of s: stale ones make the step smaller. With s = 1 and eta_g = 1 it is FedAvg of updates that weigh
// alike, bit for bit. When a buffer is full, and how stale an update may be, says the machine
// (round/buffer.h). Memory: 4 P bytes for the mean. Nothing is remembered between versions.
class FedBuff final : public Strategy {
 public:
  FedBuff(std::size_t parameters, double learning_rate)
      : parameters_(parameters), learning_rate_(learning_rate), mean_(parameters) {}
  [[nodiscard]] learning::LocalSettings settings() const override { return {}; }
  [[nodiscard]] Status take(const Contribution& from) override;
  [[nodiscard]] Result<std::vector<float>> finish(std::span<const float> model) override;
  void discard() override { static_cast<void>(mean_.take()); }
  [[nodiscard]] std::vector<learning::SlotView> state() const override { return {}; }
  [[nodiscard]] Status restore(std::vector<learning::OptimizerState::Slot> state) override;

 private:
  std::size_t parameters_;
  double learning_rate_;  // eta_g
  WeightedMean<float> mean_;
};

}  // namespace muster::agg
