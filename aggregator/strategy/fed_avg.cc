// aggregator/strategy/fed_avg.cc: the two loops over an update, written so that the compiler makes SIMD of
// them
#include "aggregator/strategy/fed_avg.h"

#include <fmt/format.h>

#include <bit>
#include <limits>

#include "common/base/check.h"

namespace muster::agg {
namespace {

constexpr std::int32_t kMagnitudeMask = 0x7fff'ffff;

// The bits of a magnitude grow with it, and NaN is beyond infinity. Integer arithmetic, because a test of
// floats by branches would not become SIMD.
bool all_within(std::span<const float> values, float most) {
  const auto limit = std::bit_cast<std::int32_t>(most);
  std::int32_t beyond = 0;
  for (const float value : values)
    beyond |= static_cast<std::int32_t>((std::bit_cast<std::int32_t>(value) & kMagnitudeMask) > limit);
  return beyond == 0;
}

void move_towards(std::span<float> mean, std::span<const float> delta, double share) {
  float* const to = mean.data();
  const float* const from = delta.data();
  const std::size_t count = mean.size();
  for (std::size_t i = 0; i < count; ++i) {
    const auto before = static_cast<double>(to[i]);
    to[i] = static_cast<float>(before + share * (static_cast<double>(from[i]) - before));
  }
}

}  // namespace

Status FedAvg::accumulate(const Update& update) {
  if (update.delta.size() != mean_.size()) {
    return invalid_argument(
        fmt::format("the update of client {} has {} values, the model has {}; the client trains "
                    "another model",
                    update.client, update.delta.size(), mean_.size()));
  }
  if (update.examples == 0 || update.examples > kExamplesMax) {
    return invalid_argument(fmt::format("the update of client {} claims {} examples; 1 to {} are possible",
                                        update.client, update.examples, kExamplesMax));
  }
  if (!all_within(update.delta, kMoveMax)) {
    return invalid_argument(
        fmt::format("the update of client {} holds values that are not finite or move a weight by more than "
                    "{:.3g}; its training diverged, lower the learning rate",
                    update.client, kMoveMax));
  }
  examples_ += update.examples;
  move_towards(mean_, update.delta, static_cast<double>(update.examples) / static_cast<double>(examples_));
  return {};
}

Result<std::vector<float>> FedAvg::finish(std::span<const float> model) && {
  if (examples_ == 0)
    return failed_precondition("no update was accepted in this round; there is nothing to average");
  MUSTER_CHECK(model.size() == mean_.size());
  for (std::size_t i = 0; i < model.size(); ++i) mean_[i] += model[i];
  if (!all_within(mean_, std::numeric_limits<float>::max())) {
    return data_loss("the model is not finite: training diverged; lower training.optimizer.learningRate");
  }
  return std::move(mean_);
}

Result<std::unique_ptr<Strategy>> make_strategy(const std::string& name, std::size_t parameter_count) {
  if (name == "FedAvg") return std::unique_ptr<Strategy>(std::make_unique<FedAvg>(parameter_count));
  return invalid_argument(fmt::format("strategy.name: \"{}\" is not known; use FedAvg", name));
}

}  // namespace muster::agg
