#pragma once  // aggregator/strategy/scaffold.h: the mean of the updates, and of what corrects their clients
#include <cstdint>
#include <memory>
#include <vector>

#include "aggregator/strategy/strategy.h"
#include "aggregator/strategy/weighted_mean.h"

namespace muster::agg {

// The server of SCAFFOLD, option II: learning/control_variate.h has the formulas. Updates count alike, as in
// the paper: c is the mean of the c_i of all enrolled clients, so that c moves by |S| / N of the mean change.
// Each update that is taken must be one whose client will keep its new c_i exactly when the round is
// committed, or c is not that mean any more: aggregator/round/counted.h.
//
// Memory: 4 P bytes for c, and 8 P for the two means of the round under way. The next c is made in the memory
// of the second; the old one goes with the last download of its model.
class Scaffold final : public Strategy {
 public:
  // REQUIRES: clients >= 1, that are enrolled; learning_rate > 0, eta_g.
  Scaffold(std::size_t parameters, std::int64_t clients, double learning_rate);
  [[nodiscard]] learning::LocalSettings settings() const override { return {.control_variates = true}; }
  [[nodiscard]] std::shared_ptr<const std::vector<float>> broadcast() const override { return control_; }
  [[nodiscard]] Status take(const Contribution& from) override;
  [[nodiscard]] Result<std::vector<float>> finish(std::span<const float> model) override;
  void discard() override;
  [[nodiscard]] std::vector<learning::SlotView> state() const override;
  [[nodiscard]] Status restore(std::vector<learning::OptimizerState::Slot> state) override;

 private:
  std::size_t parameters_;
  double clients_;
  double learning_rate_;
  std::shared_ptr<const std::vector<float>> control_;  // [P] c
  WeightedMean<float> moves_;
  WeightedMean<float> changes_;
  std::int64_t taken_ = 0;  // |S| so far
};

}  // namespace muster::agg
