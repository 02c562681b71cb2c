#pragma once  // worker/parallel/synchronizer.h: how the ranks of a training come to the same parameters
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "learning/checkpoint.h"
#include "learning/model.h"
#include "learning/optimizer.h"
#include "worker/collective/collective.h"
#include "worker/parallel/riders.h"

namespace muster::worker {

struct BatchShare {       // of one global batch
  std::int64_t mine = 0;  // examples of this rank; may be 0
  std::int64_t all = 0;   // of all ranks, >= 1; the same number everywhere
};

struct SyncCost {
  std::uint64_t payload_bytes = 0;  // that the formula says for this rank and call
  std::int64_t dense_buckets = 0;   // sent as they are, because compression would send more
};

struct StepSums {     // what the ranks learn from each other beside the gradient
  double loss = 0;    // mean over the global batch
  bool stop = false;  // some rank was asked to stop
  SyncCost cost{};    // of this rank
  // Elements of gradients that were no finite numbers: they are summed like others. Of all ranks, since it
  // was told before, the same number on each; and of this one among them.
  std::int64_t not_finite = 0;
  std::int64_t mine_not_finite = 0;
  std::int64_t steps = 1;  // up to this one, that both are of
  // Digest of the rows that all ranks trained on; nullopt: they do not tell each other.
  std::optional<std::uint64_t> rows{};
};

// One a rank and membership; all ranks make the same calls in the same order. It owns the optimizer's place:
// with every rank, or with parameter servers. After an error it is dead. Errors: the mesh's.
class Synchronizer {
 public:
  static constexpr std::size_t kRiders = Riders::kSize;

  struct Step {
    double loss = 0;    // mean over this rank's examples
    bool stop = false;  // this rank was asked to stop
    BatchShare share;
    std::uint64_t rows = 0;     // digest of those that this rank trained on (learning/ledger.h)
    std::int64_t number = 0;    // the same on all ranks
    std::int64_t position = 0;  // examples that were trained on before it, in all epochs; likewise
    bool dense = false;         // nothing is compressed; likewise
  };

  virtual ~Synchronizer() = default;

  // The optimizer's state of a checkpoint, or of the membership before. kInvalidArgument: it is another
  // optimizer's.
  [[nodiscard]] virtual Status restore(const learning::OptimizerState& state) = 0;
  // The state as a checkpoint keeps it. Rank 0 may call this where the others do not.
  [[nodiscard]] virtual Result<learning::OptimizerState> capture() = 0;
  // What of it this rank takes to the next membership: nothing where parameter servers hold it.
  [[nodiscard]] virtual learning::OptimizerState kept() = 0;
  // Optimizer state that the ranks give each other when one joins; views.
  [[nodiscard]] virtual std::vector<learning::Optimizer::Slot> shared_slots() = 0;
  virtual void set_steps(std::int64_t steps) = 0;
  // Then shared_slots() is one slot, whose length every rank takes from the one that has it: by make_room,
  // before it is written to (learning::Optimizer).
  [[nodiscard]] virtual bool has_state_of_any_size() const { return false; }
  virtual void make_room(std::size_t /*values*/) {}

  // What parameter servers did beyond the step from which the ranks begin, so that it is not done again.
  struct Ahead {
    std::int64_t steps = 0;     // whole ones
    std::int64_t examples = 0;  // of these, together
    // Of the step after them, which some servers have done and others have not: the ranks do it once more,
    // with as many examples. 0: there is none.
    std::int64_t next_examples = 0;
  };
  struct Beginning {
    std::int64_t step = 0;      // completed
    std::int64_t position = 0;  // examples that were trained on until then, in all epochs
    bool kept = false;          // it was learnt in a membership before; else from a checkpoint, or afresh
    std::string_view topology;  // that was picked for as many ranks; empty: none
  };
  // Before the first step: all ranks hold the `parameters` [P] of `where`. On return they are those to begin
  // with.
  [[nodiscard]] virtual Result<Ahead> begin(const Beginning& where, std::span<float> parameters) = 0;

  // Before the gradient of a step is computed, in the memory that exchange() gets then: whom to tell which
  // parts of it are final (learning::Model::Ready), so that their sums go on beside. Empty: nobody.
  [[nodiscard]] virtual learning::Model::Ready expect(std::span<float> /*gradient*/,
                                                      const BatchShare& /*share*/) {
    return {};
  }
  // gradient: [P + kRiders]. The first P are the mean over this rank's examples (anything when it has none);
  // the others are this call's. Ends with the means over all examples of the global batch: the gradient, for
  // update(); or `parameters` [P] that have made their step. The same bits on every rank.
  [[nodiscard]] virtual Result<StepSums> exchange(std::span<float> gradient, std::span<float> parameters,
                                                  const Step& step) = 0;
  // The optimizer's step, where each rank makes its own. gradient: [P], of exchange.
  virtual void update(std::span<float> parameters, std::span<const float> gradient) = 0;

  // Each rank has a model of its own: what others bring to a membership is for those who have none.
  [[nodiscard]] virtual bool keeps_own_parameters() const { return false; }
  // Then: of this rank's model from the mean of those that it met in the last step, in the 2-norm.
  [[nodiscard]] virtual std::optional<double> distance() const { return std::nullopt; }

  // How gradients are summed, since begin(); nothing where none are.
  [[nodiscard]] virtual Settled sums() const { return {}; }

  // The training is over for this rank, and it has no more to ask.
  [[nodiscard]] virtual Status finish() = 0;
  [[nodiscard]] virtual std::uint64_t payload_bytes_sent() const = 0;  // by this rank, in this membership
};

// sum_r (m_r / M) g_r = (1 / n) sum_r (m_r n / M) g_r: weighs g_r so that the sum over the ranks needs only
// 1 / n. With equal shares the weight is exactly 1. Returns how many were no finite numbers.
std::int64_t weigh(std::span<float> gradient, const BatchShare& share, int ranks);
// The loss of a rank as a rider: the sum over its examples.
[[nodiscard]] float loss_rider(double loss, const BatchShare& share);

}  // namespace muster::worker
