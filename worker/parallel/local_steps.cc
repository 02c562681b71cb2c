// worker/parallel/local_steps.cc: windows of local steps, and the outer step at their end
#include "worker/parallel/local_steps.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace muster::worker {
namespace {

constexpr auto kMomentumSlot = "outer.momentum";

}  // namespace

LocalSteps::LocalSteps(DataParallel::Parts parts, Options options)
    : inner_(parts.optimizer),
      options_(options),
      sum_(parts, options.timeout),
      outer_(learning::initial_outer_state<float>(options.outer, options.parameters)) {
  MUSTER_CHECK(options_.steps >= 1 && !learning::keeps_second(options_.outer.rule));
}

void LocalSteps::open(std::span<const float> parameters) {
  MUSTER_CHECK(!open_ && parameters.size() == options_.parameters);
  begun_with_.assign(parameters.begin(), parameters.end());
  open_ = true;
  if (inner_.has_state_of_any_size()) return;
  const auto slots = inner_.slots();
  begun_in_.slots.resize(slots.size());  // their memory is used again
  for (std::size_t i = 0; i < slots.size(); ++i) {
    begun_in_.slots[i].name = slots[i].name;
    begun_in_.slots[i].values.assign(slots[i].values.begin(), slots[i].values.end());
  }
  begun_in_.steps = inner_.steps();
}

void LocalSteps::undo(std::span<float> parameters) {
  if (!std::exchange(open_, false)) return;
  std::ranges::copy(begun_with_, parameters.begin());
  if (inner_.has_state_of_any_size()) return;
  const Status restored = learning::restore(inner_, begun_in_);
  MUSTER_CHECK(restored.has_value());
}

Status LocalSteps::restore(const learning::OptimizerState& state) {
  const auto momentum = std::ranges::find(state.slots, kMomentumSlot, &learning::OptimizerState::Slot::name);
  const bool has = momentum != state.slots.end() && !outer_.first.empty();
  if (has && momentum->values.size() != options_.parameters)
    return invalid_argument(
        "checkpoint: its outer momentum is of another model; use another checkpoint.path or remove the "
        "files");
  if (has) outer_.first = momentum->values;
  return learning::restore(inner_, state);
}

learning::OptimizerState LocalSteps::kept() {
  learning::OptimizerState state = learning::capture(inner_);
  if (!outer_.first.empty()) state.slots.push_back({kMomentumSlot, outer_.first});
  return state;
}

std::vector<learning::Optimizer::Slot> LocalSteps::shared_slots() {
  auto slots = inner_.slots();
  if (!outer_.first.empty()) slots.push_back({kMomentumSlot, outer_.first});
  return slots;
}

Result<StepSums> LocalSteps::exchange(std::span<float> gradient, std::span<float> parameters,
                                      const Step& step) {
  MUSTER_CHECK(open_ && gradient.size() == parameters.size() + kRiders);
  for (std::size_t i = 0; i < parameters.size(); ++i) gradient[i] = parameters[i] - begun_with_[i];
  return sum_.exchange(gradient, parameters, step);
}

void LocalSteps::update(std::span<float> parameters, std::span<const float> mean_change) {
  MUSTER_CHECK(open_);
  open_ = false;
  learning::outer<float>(options_.outer, begun_with_, mean_change, outer_, parameters);
}

}  // namespace muster::worker
