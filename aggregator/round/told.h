#pragma once  // aggregator/round/told.h: what the clients of a round measured themselves
#include <cmath>
#include <cstdint>
#include <optional>

namespace muster::agg {

// Of programs of the user's own: the aggregator has no data to test their model on.
struct Measured {
  double loss = 0;
  std::optional<double> accuracy{};  // 0..1
};

// Means over the updates that are in the aggregate, weighted by examples. Pure.
class ToldByClients {
 public:
  // NaN: not told; so counts what comes from outside and is no number, or no share.
  void add(std::uint64_t examples, double loss, double accuracy) {
    const auto weight = static_cast<double>(examples);
    if (std::isfinite(loss)) loss_.add(loss, weight);
    if (accuracy >= 0 && accuracy <= 1) accuracy_.add(accuracy, weight);
  }
  // Nothing where no client told a loss.
  [[nodiscard]] std::optional<Measured> mean() const {
    if (!loss_.mean()) return std::nullopt;
    return Measured{.loss = *loss_.mean(), .accuracy = accuracy_.mean()};
  }

 private:
  struct Mean {
    double sum = 0;
    double weight = 0;
    void add(double value, double by) {
      sum += value * by;
      weight += by;
    }
    [[nodiscard]] std::optional<double> mean() const {
      return weight > 0 && std::isfinite(sum) ? std::optional(sum / weight) : std::nullopt;
    }
  };
  Mean loss_;
  Mean accuracy_;
};

}  // namespace muster::agg
