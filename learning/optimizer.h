#pragma once  // learning/optimizer.h: SGD with momentum, Adam and AdamW on flat parameters
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/spec/training.h"

namespace muster::learning {

class Optimizer {  // not thread-safe; deterministic: same inputs, same bits
 public:
  virtual ~Optimizer() = default;
  // parameters [P] -= the step for gradient [P].
  virtual void step(std::span<float> parameters, std::span<const float> gradient) = 0;
  // State for a checkpoint: named flat vectors of length P ("momentum"; "m", "v"), and the step count.
  struct Slot {
    std::string name;
    std::span<float> values;  // view into the optimizer, writable to restore
  };
  [[nodiscard]] virtual std::vector<Slot> slots() = 0;
  // An optimizer whose state may be of any size has one slot, and makes it so large for what is to be written
  // to it; the slots of the others are of length P.
  [[nodiscard]] virtual bool has_state_of_any_size() const { return false; }
  virtual void make_room(std::size_t /*values*/) {}
  [[nodiscard]] virtual std::int64_t steps() const = 0;
  virtual void set_steps(std::int64_t steps) = 0;
};

[[nodiscard]] std::unique_ptr<Optimizer> make_optimizer(const spec::Optimizer& spec,
                                                        std::int64_t parameter_count);

}  // namespace muster::learning
