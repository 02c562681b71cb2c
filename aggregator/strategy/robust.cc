// aggregator/strategy/robust.cc: onto the shelf, and all at once from it
#include "aggregator/strategy/robust.h"

#include <fmt/format.h>

#include "aggregator/strategy/checks.h"
#include "common/base/check.h"
#include "learning/outer_step.h"

namespace muster::agg {

Status Robust::take(const Contribution& from) {
  MUSTER_TRY(check_contribution(from, parameters_));
  MUSTER_TRY(shelf_->add(from.delta));
  clients_.push_back(from.client);
  return {};
}

Result<std::vector<float>> Robust::finish(std::span<const float> model) {
  MUSTER_CHECK(model.size() == parameters_);
  if (std::ssize(clients_) < updates_min_)
    return failed_precondition(
        fmt::format("{} updates were accepted in this round, the strategy needs {}; raise "
                    "spec.cohort.minimum",
                    clients_.size(), updates_min_));
  std::vector<float> next(parameters_);
  {
    MUSTER_ASSIGN(const std::span<const float> updates, shelf_->all());
    MUSTER_CHECK(updates.size() == clients_.size() * parameters_);
    combine_({.values = updates, .clients = clients_}, next);
  }
  discard();
  learning::OuterState<float> none;
  learning::outer<float>({}, model, next, none, next);
  MUSTER_TRY(check_model(next));
  return next;
}

void Robust::discard() {
  shelf_->clear();
  clients_.clear();
}

Status Robust::restore(std::vector<learning::OptimizerState::Slot> state) { return check_stateless(state); }

}  // namespace muster::agg
