// aggregator/strategy/strategies.cc: from a name of the spec to the strategy
#include <fmt/format.h>

#include <utility>

#include "aggregator/strategy/fed_opt.h"
#include "aggregator/strategy/strategy.h"

namespace muster::agg {
namespace {

using learning::OuterRule;

learning::OuterOptions outer_options(OuterRule rule, const spec::Strategy& spec) {
  return {.rule = rule,
          .learning_rate = spec.learning_rate,
          .momentum = spec.momentum,
          .beta1 = spec.beta1,
          .beta2 = spec.beta2,
          .tau = spec.tau};
}

}  // namespace

Result<std::unique_ptr<Strategy>> make_strategy(const spec::Strategy& spec, std::size_t parameters) {
  constexpr std::pair<const char*, OuterRule> kServerSteps[] = {
      {"FedAvg", OuterRule::kAdd},   {"FedAvgM", OuterRule::kMomentum}, {"Nesterov", OuterRule::kNesterov},
      {"FedAdam", OuterRule::kAdam}, {"FedYogi", OuterRule::kYogi},     {"FedAdagrad", OuterRule::kAdagrad}};
  for (const auto& [name, rule] : kServerSteps)
    if (spec.name == name)
      return std::unique_ptr<Strategy>(std::make_unique<FedOpt>(parameters, outer_options(rule, spec)));
  if (spec.name == "FedProx")
    return std::unique_ptr<Strategy>(std::make_unique<FedOpt>(
        parameters, learning::OuterOptions{}, learning::LocalSettings{.proximal_mu = spec.mu}));
  return invalid_argument(
      fmt::format("strategy.name: \"{}\" is not known here; use one of the schema's, and "
                  "bring muster-operator and the pods to one version",
                  spec.name));
}

}  // namespace muster::agg
