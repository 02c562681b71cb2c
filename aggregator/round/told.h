#pragma once  // aggregator/round/told.h: what the clients of a round measured themselves
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/spec/strategy.h"

namespace muster::agg {

// Of programs of the user's own: the aggregator has no data to test their model on.
struct Measured {
  double loss = 0;
  std::optional<double> accuracy{};  // 0..1
};

// As the strategy weighs the updates; kMedian of a robust one, so that no minority of the clients says how
// good the model is.
enum class Weighing : std::uint8_t { kByExamples, kAlike, kMedian };
[[nodiscard]] inline Weighing weighing_of(const spec::Strategy& strategy) {
  const spec::StrategyNeeds needs = spec::needs_of(strategy);
  if (needs.every_update) return Weighing::kMedian;
  return needs.by_examples ? Weighing::kByExamples : Weighing::kAlike;
}

// Of the updates that are in the aggregate. Pure.
class ToldByClients {
 public:
  static constexpr double kLossMax = 1e100;  // beyond it a sum of many could overflow

  // NaN: not told; so counts what comes from outside and is no number, too large, or no share.
  void add(std::uint64_t examples, double loss, double accuracy) {
    if (std::abs(loss) <= kLossMax) loss_.push_back({loss, examples});
    if (accuracy >= 0 && accuracy <= 1) accuracy_.push_back({accuracy, examples});
  }
  // Nothing where no client told a loss.
  [[nodiscard]] std::optional<Measured> summary(Weighing weighing) const {
    const auto loss = of(loss_, weighing);
    if (!loss) return std::nullopt;
    return Measured{.loss = *loss, .accuracy = of(accuracy_, weighing)};
  }

 private:
  struct Told {
    double value = 0;
    std::uint64_t examples = 0;  // a claim of the client
  };
  static std::optional<double> of(std::vector<Told> told, Weighing weighing) {
    if (told.empty()) return std::nullopt;
    if (weighing == Weighing::kMedian) return median(told);
    double sum = 0;
    double weight = 0;
    for (const Told& each : told) {
      const double by = weighing == Weighing::kByExamples ? static_cast<double>(each.examples) : 1.0;
      sum += each.value * by;
      weight += by;
    }
    return weight > 0 ? std::optional(sum / weight) : std::nullopt;
  }
  // Of an even number: the mean of the two in the middle.
  static double median(std::vector<Told>& told) {
    std::ranges::sort(told, {}, &Told::value);
    const std::size_t half = told.size() / 2;
    const double upper = told[half].value;
    return told.size() % 2 == 1 ? upper : (told[half - 1].value + upper) / 2;
  }

  std::vector<Told> loss_;
  std::vector<Told> accuracy_;
};

}  // namespace muster::agg
