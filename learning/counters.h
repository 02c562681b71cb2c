#pragma once  // learning/counters.h: what a checkpoint says of its training beside the tensors, as JSON
#include <string>

#include "learning/checkpoint.h"

namespace muster::learning {

[[nodiscard]] std::string counters_of(const TrainingStateView& state);
// Back into `state`; false when it is none. The text is anybody's. What files of earlier releases lack stays
// as it is.
[[nodiscard]] bool read_counters(const std::string& text, TrainingState& state);

}  // namespace muster::learning
