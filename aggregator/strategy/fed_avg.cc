// aggregator/strategy/fed_avg.cc: the two loops over an update, written so that the compiler makes SIMD of
// them
#include "aggregator/strategy/fed_avg.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

namespace muster::agg {
namespace {

constexpr std::uint32_t kExponentMask = 0x7f80'0000U;  // all set: infinity or NaN

// Integer arithmetic, because a test of floats by branches would not become SIMD.
bool all_finite(std::span<const float> values) {
  std::uint32_t bad = 0;
  for (const float value : values) {
    bad |= static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(value) & kExponentMask) == kExponentMask);
  }
  return bad == 0;
}

void add_scaled(std::span<double> sum, std::span<const float> delta, double weight) {
  double* const to = sum.data();
  const float* const from = delta.data();
  const std::size_t count = sum.size();
  for (std::size_t i = 0; i < count; ++i) to[i] += weight * static_cast<double>(from[i]);
}

}  // namespace

Status FedAvg::accumulate(const Update& update) {
  if (update.delta.size() != sum_.size()) {
    return invalid_argument(
        fmt::format("the update of client {} has {} values, the model has {}; the client trains "
                    "another model",
                    update.client, update.delta.size(), sum_.size()));
  }
  if (update.examples == 0 || update.examples > kExamplesMax) {
    return invalid_argument(fmt::format("the update of client {} claims {} examples; 1 to {} are possible",
                                        update.client, update.examples, kExamplesMax));
  }
  if (!all_finite(update.delta)) {
    return invalid_argument(
        fmt::format("the update of client {} holds values that are not finite; its training "
                    "diverged, lower the learning rate",
                    update.client));
  }
  add_scaled(sum_, update.delta, static_cast<double>(update.examples));
  examples_ += update.examples;
  return {};
}

Status FedAvg::finish(std::span<float> step) && {
  if (examples_ == 0)
    return failed_precondition("no update was accepted in this round; there is nothing to average");
  if (step.size() != sum_.size()) {
    return invalid_argument(
        fmt::format("the step has room for {} values, the model has {}", step.size(), sum_.size()));
  }
  const double total = static_cast<double>(examples_);
  for (std::size_t i = 0; i < step.size(); ++i) step[i] = static_cast<float>(sum_[i] / total);
  return {};
}

Result<std::unique_ptr<Strategy>> make_strategy(const std::string& name, std::size_t parameter_count) {
  if (name == "FedAvg") return std::unique_ptr<Strategy>(std::make_unique<FedAvg>(parameter_count));
  return invalid_argument(fmt::format("strategy.name: \"{}\" is not known; use FedAvg", name));
}

}  // namespace muster::agg
