#pragma once  // learning/counters.h: what a checkpoint says of its training beside the tensors, as JSON
#include <optional>
#include <string>

#include "learning/checkpoint.h"

namespace muster::learning {

[[nodiscard]] std::string counters_of(const TrainingStateView& state);
// Back into `state`; false when it is none. The text is anybody's. What files of earlier releases lack stays
// as it is.
[[nodiscard]] bool read_counters(const std::string& text, TrainingState& state);

// A ledger has a place of its own in the file: workers of a release that kept none pass over it, where a
// field more in the text above would have them refuse the file.
[[nodiscard]] std::string text_of(const Ledger& ledger);
[[nodiscard]] std::optional<Ledger> read_ledger(const std::string& text);  // nullopt: it is none

}  // namespace muster::learning
