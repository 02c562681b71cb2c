#pragma once  // aggregator/strategy/checks.h: what may enter an aggregate, and what may leave it
#include <span>
#include <vector>

#include "aggregator/strategy/strategy.h"

namespace muster::agg {

// No value's magnitude is beyond `most`, and none is NaN. `most` > 0.
[[nodiscard]] bool all_within(std::span<const float> values, float most);
// Errors: kInvalidArgument, as Strategy::take.
[[nodiscard]] Status check_contribution(const Contribution& from, std::size_t parameters);
// Of a strategy that remembers nothing. Errors: kFailedPrecondition: there is a state.
[[nodiscard]] Status check_stateless(const std::vector<learning::OptimizerState::Slot>& state);
// Errors: kDataLoss: the next model is not finite.
[[nodiscard]] Status check_model(std::span<const float> next);

}  // namespace muster::agg
