#pragma once  // learning/optimizer_state.h: what an optimizer remembers, as a checkpoint holds it
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muster::learning {

struct OptimizerState {
  struct Slot {
    std::string name;
    std::vector<float> values;  // [P]
    friend bool operator==(const Slot&, const Slot&) = default;
  };
  std::int64_t steps = 0;
  std::vector<Slot> slots;
  friend bool operator==(const OptimizerState&, const OptimizerState&) = default;
};

// Slots of an outer optimizer (worker/parallel/local_steps.h) lie in the same state, under such names:
// whoever has none leaves them out, so that a training goes on with or without local steps.
inline constexpr std::string_view kOuterSlotPrefix = "outer.";
[[nodiscard]] OptimizerState without_outer(OptimizerState state);

struct SlotView {  // the same by reference, so that it is written from where it lies
  std::string name;
  std::span<const float> values;
};

}  // namespace muster::learning
