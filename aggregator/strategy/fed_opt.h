#pragma once  // aggregator/strategy/fed_opt.h: the mean of the updates, weighted by examples, then a server
              // step
#include <vector>

#include "aggregator/strategy/strategy.h"
#include "aggregator/strategy/weighted_mean.h"
#include "learning/outer_step.h"

namespace muster::agg {

// Delta = sum(n_i delta_i) / sum(n_i), or with n_i = 1 where updates weigh alike, then learning::outer(model,
// Delta, state). Reddi et al. 2021, Algorithm 2, with the weights of its experiments; its pseudocode weighs
// clients alike. n_i is times Contribution::copies and ::discount.
//
// FedAvg (McMahan et al. 2017, Algorithm 1) is the rule kAdd, model += Delta, and remembers nothing. FedProx
// (Li et al. 2020, Algorithm 2) is FedAvg whose clients are given mu. q-FedAvg is FedAvg whose clients are
// given q, and whose updates weigh what their clients say instead of by examples (learning::make_fair): the
// server cannot know their losses, so that, as in the paper, a client that exaggerates its own is believed,
// up to a bound.
// Per-FedAvg (Fallah et al. 2020, Algorithm 1) takes the plain mean, of clients that are told how they adapt.
//
// Memory: 4 P bytes for the mean, whatever the number of clients, and 4 P for each vector of the state:
// FedAvgM and Nesterov one, FedAdam, FedYogi and FedAdagrad two.
class FedOpt final : public Strategy {
 public:
  // `by_examples`: false: updates weigh alike.
  FedOpt(std::size_t parameters, learning::OuterOptions options, learning::LocalSettings settings = {},
         bool by_examples = true)
      : parameters_(parameters),
        options_(options),
        settings_(settings),
        by_examples_(by_examples),
        mean_(parameters) {}
  [[nodiscard]] learning::LocalSettings settings() const override { return settings_; }
  [[nodiscard]] Status take(const Contribution& from) override;
  [[nodiscard]] Result<std::vector<float>> finish(std::span<const float> model) override;
  void discard() override { static_cast<void>(mean_.take()); }
  [[nodiscard]] std::vector<learning::SlotView> state() const override;
  [[nodiscard]] Status restore(std::vector<learning::OptimizerState::Slot> state) override;

 private:
  [[nodiscard]] Result<double> weight_of(const Contribution& from) const;

  std::size_t parameters_;
  learning::OuterOptions options_;
  learning::LocalSettings settings_;
  bool by_examples_;
  WeightedMean<float> mean_;
  learning::OuterState<float> state_;  // from the first finish on, or restored
};

}  // namespace muster::agg
