// aggregator/strategy/checks.cc: one pass over the values, written so that the compiler makes SIMD of it
#include "aggregator/strategy/checks.h"

#include <fmt/format.h>

#include <bit>
#include <limits>

#include "common/base/vector_versions.h"

namespace muster::agg {
namespace {

constexpr std::int32_t kMagnitudeMask = 0x7fff'ffff;

}  // namespace

// The bits of a magnitude grow with it, and NaN is beyond infinity. Integer arithmetic, because a test of
// floats by branches would not become SIMD.
MUSTER_VECTOR_VERSIONS
bool all_within(std::span<const float> values, float most) {
  const auto limit = std::bit_cast<std::int32_t>(most);
  const float* const from = values.data();
  const std::size_t count = values.size();
  std::int32_t beyond = 0;
  for (std::size_t i = 0; i < count; ++i)
    beyond |= static_cast<std::int32_t>((std::bit_cast<std::int32_t>(from[i]) & kMagnitudeMask) > limit);
  return beyond == 0;
}

Status check_contribution(const Contribution& from, std::size_t parameters) {
  if (from.delta.size() != parameters) {
    return invalid_argument(
        fmt::format("the update of client {} has {} values, the model has {}; the client trains "
                    "another model",
                    from.client, from.delta.size(), parameters));
  }
  if (from.examples == 0 || from.examples > kExamplesMax) {
    return invalid_argument(fmt::format("the update of client {} claims {} examples; 1 to {} are possible",
                                        from.client, from.examples, kExamplesMax));
  }
  if (!from.within && !all_within(from.delta, kMoveMax)) {
    return invalid_argument(
        fmt::format("the update of client {} holds values that are not finite or move a weight by more than "
                    "{:.3g}; its training diverged, lower the learning rate",
                    from.client, kMoveMax));
  }
  return {};
}

Status check_stateless(const std::vector<learning::OptimizerState::Slot>& state) {
  if (state.empty()) return {};
  return failed_precondition(
      "the checkpoint has a server state, but the strategy keeps none; use another folder, or remove the "
      "file "
      "to start afresh");
}

Status check_model(std::span<const float> next) {
  if (all_within(next, std::numeric_limits<float>::max())) return {};
  return data_loss("the model is not finite: training diverged; lower training.optimizer.learningRate");
}

}  // namespace muster::agg
