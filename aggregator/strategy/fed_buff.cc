// aggregator/strategy/fed_buff.cc: a fold for each update, a step for each buffer
#include "aggregator/strategy/fed_buff.h"

#include "aggregator/strategy/checks.h"
#include "common/base/check.h"
#include "learning/outer_step.h"

namespace muster::agg {

Status FedBuff::take(const Contribution& from) {
  MUSTER_TRY(check_contribution(from, parameters_));
  mean_.fold(from.delta, 1, from.discount);
  return {};
}

Result<std::vector<float>> FedBuff::finish(std::span<const float> model) {
  if (mean_.empty()) return failed_precondition("no update is in the buffer; there is nothing to average");
  MUSTER_CHECK(model.size() == parameters_);
  std::vector<float> next = mean_.take();
  learning::OuterState<float> none;
  learning::outer<float>({.learning_rate = learning_rate_}, model, next, none, next);
  MUSTER_TRY(check_model(next));
  return next;
}

Status FedBuff::restore(std::vector<learning::OptimizerState::Slot> state) { return check_stateless(state); }

}  // namespace muster::agg
