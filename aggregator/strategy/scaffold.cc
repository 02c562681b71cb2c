// aggregator/strategy/scaffold.cc: two folds for each update, two steps for each round
#include "aggregator/strategy/scaffold.h"

#include <fmt/format.h>

#include <utility>

#include "aggregator/strategy/checks.h"
#include "common/base/check.h"
#include "learning/control_variate.h"
#include "learning/outer_step.h"

namespace muster::agg {
namespace {

constexpr const char* kControlSlot = "c";

}  // namespace

Scaffold::Scaffold(std::size_t parameters, std::int64_t clients, double learning_rate)
    : parameters_(parameters),
      clients_(static_cast<double>(clients)),
      learning_rate_(learning_rate),
      control_(std::make_shared<const std::vector<float>>(parameters)),
      moves_(parameters),
      changes_(parameters) {
  MUSTER_CHECK(clients >= 1 && learning_rate > 0);
}

Status Scaffold::take(const Contribution& from) {
  MUSTER_TRY(check_contribution(from, parameters_));
  if (from.control_change.size() != parameters_ || !all_within(from.control_change, kMoveMax))
    return invalid_argument(
        fmt::format("the control variate of client {} has {} values that must be {}, finite and no larger than "
                    "{:.3g}; its training diverged, lower the learning rate",
                    from.client, from.control_change.size(), parameters_, kMoveMax));
  moves_.fold(from.delta, 1);
  changes_.fold(from.control_change, 1);
  ++taken_;
  return {};
}

Result<std::vector<float>> Scaffold::finish(std::span<const float> model) {
  if (moves_.empty())
    return failed_precondition("no update was accepted in this round; there is nothing to average");
  MUSTER_CHECK(model.size() == parameters_);
  const double share = static_cast<double>(std::exchange(taken_, 0)) / clients_;
  std::vector<float> next = moves_.take();
  std::vector<float> control = changes_.take();
  learning::OuterState<float> none;
  learning::outer<float>({.learning_rate = learning_rate_}, model, next, none, next);
  learning::advance_control<float>(*control_, control, share, control);
  MUSTER_TRY(check_model(next));
  MUSTER_TRY(check_model(control));
  control_ = std::make_shared<const std::vector<float>>(std::move(control));
  return next;
}

void Scaffold::discard() {
  static_cast<void>(moves_.take());
  static_cast<void>(changes_.take());
  taken_ = 0;
}

std::vector<learning::SlotView> Scaffold::state() const { return {{kControlSlot, *control_}}; }

Status Scaffold::restore(std::vector<learning::OptimizerState::Slot> state) {
  if (state.size() != 1 || state[0].name != kControlSlot || state[0].values.size() != parameters_ ||
      !check_model(state[0].values))
    return failed_precondition(
        "the checkpoint's server state is of another strategy or model; use another folder, or remove the file "
        "to start afresh");
  control_ = std::make_shared<const std::vector<float>>(std::move(state[0].values));
  return {};
}

}  // namespace muster::agg
