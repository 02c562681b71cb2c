// aggregator/strategy/fed_opt.cc: a fold for each update, a server step for each round
#include "aggregator/strategy/fed_opt.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "aggregator/strategy/checks.h"
#include "common/base/check.h"

namespace muster::agg {
namespace {

constexpr const char* kFirstSlot = "m";
constexpr const char* kSecondSlot = "v";
// A weight of q-FedAvg is about F^q, F being a loss, plus a term of a power less: training with a loss of a
// thousand has long gone wrong.
constexpr double kFairBase = 1e3;

}  // namespace

Status FedOpt::take(const Contribution& from) {
  MUSTER_TRY(check_contribution(from, parameters_));
  MUSTER_ASSIGN(const double weight, weight_of(from));
  mean_.fold(from.delta, weight);
  return {};
}

Result<double> FedOpt::weight_of(const Contribution& from) const {
  if (!settings_.fairness_q)
    return (by_examples_ ? static_cast<double>(from.examples) : 1.0) * from.copies * from.discount;
  const double most = std::pow(kFairBase, *settings_.fairness_q + 1);
  if (from.weight > 0 && from.weight <= most) return from.weight * from.copies;
  return invalid_argument(
      fmt::format("the update of client {} weighs {:.3g}; more than 0 and at most {:.3g} is possible",
                  from.client, from.weight, most));
}

Result<std::vector<float>> FedOpt::finish(std::span<const float> model) {
  if (mean_.empty())
    return failed_precondition("no update was accepted in this round; there is nothing to average");
  MUSTER_CHECK(model.size() == parameters_);
  if (state_.first.empty() && learning::keeps_first(options_.rule))
    state_ = learning::initial_outer_state<float>(options_, parameters_);
  std::vector<float> next = mean_.take();
  learning::outer<float>(options_, model, next, state_, next);
  MUSTER_TRY(check_model(next));
  return next;
}

std::vector<learning::SlotView> FedOpt::state() const {
  std::vector<learning::SlotView> views;
  views.reserve(2);
  if (!state_.first.empty()) views.push_back({kFirstSlot, state_.first});
  if (!state_.second.empty()) views.push_back({kSecondSlot, state_.second});
  return views;
}

Status FedOpt::restore(std::vector<learning::OptimizerState::Slot> state) {
  std::vector<const char*> names;
  if (learning::keeps_first(options_.rule)) names.push_back(kFirstSlot);
  if (learning::keeps_second(options_.rule)) names.push_back(kSecondSlot);
  bool fits = state.size() == names.size();
  for (std::size_t i = 0; fits && i < names.size(); ++i)
    fits = state[i].name == names[i] && state[i].values.size() == parameters_ &&
           check_model(state[i].values).has_value();
  if (!fits)
    return failed_precondition(
        "the checkpoint's server state is of another strategy or model; use another folder, or remove the "
        "file "
        "to start afresh");
  if (!names.empty()) state_.first = std::move(state[0].values);
  if (names.size() > 1) state_.second = std::move(state[1].values);
  return {};
}

}  // namespace muster::agg
