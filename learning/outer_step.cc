// learning/outer_step.cc: each rule as one loop over flat vectors
#include "learning/outer_step.h"

#include <cmath>

#include "common/base/check.h"

namespace muster::learning {
namespace {

// `grow` says what becomes of v, given it and Delta^2. One loop a rule, without a branch inside.
template <typename Real, typename Grow>
void adaptive(const OuterOptions& options, std::span<const Real> parameters, std::span<const Real> delta,
              OuterState<Real>& state, std::span<Real> next, Grow grow) {
  for (std::size_t i = 0; i < next.size(); ++i) {
    const auto change = static_cast<double>(delta[i]);
    const double first = options.beta1 * static_cast<double>(state.first[i]) + (1 - options.beta1) * change;
    const double second = grow(static_cast<double>(state.second[i]), change * change);
    next[i] = static_cast<Real>(static_cast<double>(parameters[i]) +
                                options.learning_rate * first / (std::sqrt(second) + options.tau));
    state.first[i] = static_cast<Real>(first);
    state.second[i] = static_cast<Real>(second);
  }
}

template <typename Real>
void with_momentum(const OuterOptions& options, std::span<const Real> parameters, std::span<const Real> delta,
                   OuterState<Real>& state, std::span<Real> next) {
  // Of Delta and of m in the step: (0, 1), or for Nesterov (1, beta).
  const bool nesterov = options.rule == OuterRule::kNesterov;
  const double of_delta = nesterov ? options.learning_rate : 0;
  const double of_first = nesterov ? options.learning_rate * options.momentum : options.learning_rate;
  for (std::size_t i = 0; i < next.size(); ++i) {
    const auto change = static_cast<double>(delta[i]);
    const double first = options.momentum * static_cast<double>(state.first[i]) + change;
    next[i] = static_cast<Real>(static_cast<double>(parameters[i]) + (of_delta * change + of_first * first));
    state.first[i] = static_cast<Real>(first);
  }
}

}  // namespace

bool keeps_first(OuterRule rule) { return rule != OuterRule::kAdd; }

bool keeps_second(OuterRule rule) {
  return rule == OuterRule::kAdagrad || rule == OuterRule::kAdam || rule == OuterRule::kYogi;
}

template <typename Real>
OuterState<Real> initial_outer_state(const OuterOptions& options, std::size_t parameters) {
  OuterState<Real> state;
  if (keeps_first(options.rule)) state.first.assign(parameters, Real{0});
  if (keeps_second(options.rule))
    state.second.assign(parameters, static_cast<Real>(options.tau * options.tau));
  return state;
}

template <typename Real>
void outer(const OuterOptions& options, std::span<const Real> parameters, std::span<const Real> delta,
           OuterState<Real>& state, std::span<Real> next) {
  MUSTER_CHECK(parameters.size() == next.size() && delta.size() == next.size());
  MUSTER_CHECK(state.first.size() == (keeps_first(options.rule) ? next.size() : 0));
  MUSTER_CHECK(state.second.size() == (keeps_second(options.rule) ? next.size() : 0));
  const double beta2 = options.beta2;
  switch (options.rule) {
    case OuterRule::kAdd:
      for (std::size_t i = 0; i < next.size(); ++i)
        next[i] = static_cast<Real>(static_cast<double>(parameters[i]) +
                                    options.learning_rate * static_cast<double>(delta[i]));
      return;
    case OuterRule::kMomentum:
    case OuterRule::kNesterov: return with_momentum(options, parameters, delta, state, next);
    case OuterRule::kAdagrad:
      return adaptive(options, parameters, delta, state, next,
                      [](double second, double square) { return second + square; });
    case OuterRule::kAdam:
      return adaptive(options, parameters, delta, state, next, [beta2](double second, double square) {
        return beta2 * second + (1 - beta2) * square;
      });
    case OuterRule::kYogi:
      return adaptive(options, parameters, delta, state, next, [beta2](double second, double square) {
        const double sign = second > square ? 1 : second < square ? -1 : 0;
        return second - (1 - beta2) * square * sign;
      });
  }
}

template OuterState<float> initial_outer_state(const OuterOptions&, std::size_t);
template OuterState<double> initial_outer_state(const OuterOptions&, std::size_t);
template void outer(const OuterOptions&, std::span<const float>, std::span<const float>, OuterState<float>&,
                    std::span<float>);
template void outer(const OuterOptions&, std::span<const double>, std::span<const double>,
                    OuterState<double>&, std::span<double>);

}  // namespace muster::learning
