#pragma once  // aggregator/round/told.h: what the clients of a round measured themselves
#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

namespace muster::agg {

// Of programs of the user's own: the aggregator has no data to test their model on.
struct Measured {
  double loss = 0;
  std::optional<double> accuracy{};  // 0..1
};

// Of the updates that are in the aggregate. Medians, whatever the strategy: no minority of the clients says
// how good the model is, neither by a value (a loss has no bound that fits) nor by examples that it claims.
// Pure.
class ToldByClients {
 public:
  static constexpr double kLossMax = 1e100;  // no training that goes well tells more

  // NaN: not told; so counts what comes from outside and is no number, too large, or no share.
  void add(double loss, double accuracy) {
    if (std::abs(loss) <= kLossMax) loss_.push_back(loss);
    if (accuracy >= 0 && accuracy <= 1) accuracy_.push_back(accuracy);
  }
  // Nothing where no client told a loss.
  [[nodiscard]] std::optional<Measured> summary() const {
    const auto loss = median(loss_);
    if (!loss) return std::nullopt;
    return Measured{.loss = *loss, .accuracy = median(accuracy_)};
  }

 private:
  // Of an even number: the mean of the two in the middle.
  static std::optional<double> median(std::vector<double> told) {
    if (told.empty()) return std::nullopt;
    std::ranges::sort(told);
    const std::size_t half = told.size() / 2;
    return told.size() % 2 == 1 ? told[half] : (told[half - 1] + told[half]) / 2;
  }

  std::vector<double> loss_;
  std::vector<double> accuracy_;
};

}  // namespace muster::agg
