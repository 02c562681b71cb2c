#pragma once  // aggregator/strategy/strategy.h: how client updates become the next model
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace muster::agg {

struct Update {  // views; alive only during accumulate()
  std::int32_t client = 0;
  std::span<const float> delta;  // [P] local minus global weights, flat, in model order
  std::uint64_t examples = 0;    // training examples behind `delta`, >= 1; the averaging weight
};

class Strategy {  // one instance per round, one thread at a time; built for a fixed P
 public:
  virtual ~Strategy() = default;
  // Folds one update in. O(P) time; nothing of `update` is kept. A rejected update leaves the aggregate as it
  // was. Errors: kInvalidArgument if P differs, examples is 0 or above kExamplesMax, or a value is not
  // finite or beyond kMoveMax.
  [[nodiscard]] virtual Status accumulate(const Update& update) = 0;
  // Ends the round: the next model [P], from the present one [P]. It is made in the aggregate's own memory,
  // so that both models together are all that there is.
  // Errors: kFailedPrecondition: no update was accepted. kDataLoss: the next model is not finite.
  [[nodiscard]] virtual Result<std::vector<float>> finish(std::span<const float> model) && = 0;
};

// Weights are exact in float64 up to here; no client has more examples.
inline constexpr std::uint64_t kExamplesMax = std::uint64_t{1} << 40;

// By how much a local training may move a weight: no training that goes well comes near, and one update of
// finite but absurd values, 3e38 each, would otherwise be the model.
inline constexpr float kMoveMax = 1 << 20;

// `name` is spec.strategy.name. Errors: kInvalidArgument: no such strategy.
[[nodiscard]] Result<std::unique_ptr<Strategy>> make_strategy(const std::string& name,
                                                              std::size_t parameter_count);

}  // namespace muster::agg
