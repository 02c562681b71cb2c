#pragma once  // aggregator/strategy/strategy.h: how client updates become the next model
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "aggregator/strategy/update_shelf.h"
#include "common/base/result.h"
#include "common/spec/strategy.h"
#include "learning/local_objective.h"
#include "learning/optimizer_state.h"

namespace muster::agg {

struct Contribution {  // views; alive only during take()
  std::int32_t client = 0;
  std::span<const float> delta;  // [P] local minus global weights, flat, in model order
  std::uint64_t examples = 0;    // training examples behind `delta`, >= 1
  double weight = 0;             // of q-FedAvg's updates
  std::int64_t steps = 0;        // of SGD behind `delta`, for SCAFFOLD; checked against the spec
  double discount = 1;           // of an update that is late: its weight times this, above 0 and at most 1
  double copies = 1;             // it counts so often: for a client that was drawn so often
  bool within = false;  // its values are known to be within kMoveMax: they are not read for that again
};

// Lives as long as the federation, and owns what the server remembers between rounds, which is a part of the
// checkpoint. One thread at a time, but for settings(); built for a fixed P. What it needs of a federation is
// data, so that the operator can compare: spec::needs_of.
class Strategy {
 public:
  virtual ~Strategy() = default;
  [[nodiscard]] virtual learning::LocalSettings settings() const = 0;  // of every client
  // What clients need beside the model that is in place [P]; it stays as it is, whoever holds it. Null:
  // nothing.
  [[nodiscard]] virtual std::shared_ptr<const std::vector<float>> broadcast() const { return nullptr; }
  // Folds one update of the round under way in. O(P) time; `from` is copied where it is kept. A rejected
  // update leaves the aggregate as it was. Errors: kInvalidArgument if P differs, examples is 0 or above
  // kExamplesMax, the weight is none, or a value is not finite or beyond kMoveMax. Another code: it cannot be
  // kept, and no other one could.
  [[nodiscard]] virtual Status take(const Contribution& from) = 0;
  // Ends the round: the next model [P], from the present one [P]. It is made in the aggregate's own memory,
  // so that both models and the state are all that there is. The next take() begins another round. Errors:
  // kFailedPrecondition: too few updates were taken. kDataLoss: the next model is not finite. The state is
  // then of no use.
  [[nodiscard]] virtual Result<std::vector<float>> finish(std::span<const float> model) = 0;
  virtual void discard() = 0;  // what was taken since the last finish
  // What is remembered: views that are good until the next finish, in a fixed order; empty before the first.
  [[nodiscard]] virtual std::vector<learning::SlotView> state() const = 0;
  // Goes on from the state of an earlier process. Errors: kFailedPrecondition: it is another strategy's.
  [[nodiscard]] virtual Status restore(std::vector<learning::OptimizerState::Slot> state) = 0;
};

// Weights are exact in float64 up to here; no client has more examples.
inline constexpr std::uint64_t kExamplesMax = std::uint64_t{1} << 40;

// By how much a local training may move a weight: no training that goes well comes near, and one update of
// finite but absurd values, 3e38 each, would otherwise be the model.
inline constexpr float kMoveMax = 1 << 20;

// Of a model [P], on data that the aggregator holds and nobody trains on. The same parameters give the same
// bits. May be NaN.
using HeldOutLoss = std::function<double(std::span<const float> parameters)>;

struct Enrolled {  // the clients, for SCAFFOLD and Scoring
  std::int64_t clients = 1;
  double learning_rate = 0.01;     // of their optimizer
  HeldOutLoss held_out_loss = {};  // for Scoring
};

// `shelf`: for the strategies that need every update
// (spec::needs_of).
// Errors: kInvalidArgument: no such strategy, or no shelf or held-out data for it.
[[nodiscard]] Result<std::unique_ptr<Strategy>> make_strategy(const spec::Strategy& spec,
                                                              std::size_t parameters,
                                                              std::unique_ptr<UpdateShelf> shelf = nullptr,
                                                              const Enrolled& enrolled = {});

}  // namespace muster::agg
