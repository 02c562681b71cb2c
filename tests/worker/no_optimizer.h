#pragma once  // tests/worker/no_optimizer.h: of trainings in which the exchange alone is looked at
#include <span>
#include <vector>

#include "learning/optimizer.h"

namespace muster::worker::test {

class NoOptimizer final : public learning::Optimizer {
 public:
  void step(std::span<float> /*parameters*/, std::span<const float> /*gradient*/) override {}
  [[nodiscard]] std::vector<Slot> slots() override { return {}; }
  [[nodiscard]] std::int64_t steps() const override { return 0; }
  void set_steps(std::int64_t /*steps*/) override {}
};

}  // namespace muster::worker::test
