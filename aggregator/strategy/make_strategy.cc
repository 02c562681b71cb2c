// aggregator/strategy/make_strategy.cc: from a name of the spec to the strategy
#include <fmt/format.h>

#include <utility>

#include "aggregator/strategy/coordinate_wise.h"
#include "aggregator/strategy/fed_buff.h"
#include "aggregator/strategy/fed_opt.h"
#include "aggregator/strategy/krum.h"
#include "aggregator/strategy/robust.h"
#include "aggregator/strategy/scaffold.h"
#include "aggregator/strategy/scoring.h"
#include "aggregator/strategy/strategy.h"
#include "common/base/check.h"

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

Robust::Combine combine_of(const spec::Strategy& spec) {
  if (spec.name == "Median")
    return [](const RoundUpdates& updates, std::span<float> combined) {
      coordinate_median<float>(updates.values, updates.clients.size(), combined);
    };
  if (spec.name == "TrimmedMean")
    return [fraction = spec.trim_fraction](const RoundUpdates& updates, std::span<float> combined) {
      const std::size_t n = updates.clients.size();
      trimmed_mean<float>(updates.values, n, trimmed_count(fraction, n), combined);
    };
  MUSTER_CHECK(spec.name == "Krum");
  return [f = static_cast<std::size_t>(spec.byzantine_clients),
          m = static_cast<std::size_t>(spec.averaged_updates)](const RoundUpdates& updates,
                                                               std::span<float> combined) {
    const auto scores = krum_scores<float>(updates.values, updates.clients.size(), f);
    mean_of_rows(updates.values, krum_choice(scores, updates.clients, m), combined);
  };
}

}  // namespace

Result<std::unique_ptr<Strategy>> make_strategy(const spec::Strategy& spec, std::size_t parameters,
                                                std::unique_ptr<UpdateShelf> shelf,
                                                const Enrolled& enrolled) {
  const spec::StrategyNeeds needs = spec::needs_of(spec);
  if (needs.every_update && shelf == nullptr)
    return invalid_argument(fmt::format(
        "spec.aggregator.storage: {} keeps every update of a round there; add storage", spec.name));
  if (needs.held_out && enrolled.held_out_loss == nullptr)
    return invalid_argument(fmt::format(
        "spec.training: {} scores updates on data of the aggregator, and a program's data is its own; choose "
        "another strategy, or training.dataset",
        spec.name));
  if (spec.name == "Scoring")
    return std::unique_ptr<Strategy>(std::make_unique<Scoring>(
        parameters, static_cast<std::size_t>(enrolled.clients), std::move(shelf), enrolled.held_out_loss));
  if (needs.every_update)
    return std::unique_ptr<Strategy>(
        std::make_unique<Robust>(parameters, needs.updates_min, std::move(shelf), combine_of(spec)));
  if (spec.name == "SCAFFOLD")
    return std::unique_ptr<Strategy>(std::make_unique<Scaffold>(parameters, enrolled, spec.learning_rate));
  if (spec.name == "FedBuff")
    return std::unique_ptr<Strategy>(std::make_unique<FedBuff>(parameters, spec.learning_rate));
  constexpr std::pair<const char*, OuterRule> kServerSteps[] = {
      {"FedAvg", OuterRule::kAdd},        {"FedProx", OuterRule::kAdd},
      {"QFedAvg", OuterRule::kAdd},       {"PerFedAvg", OuterRule::kAdd},
      {"FedAvgM", OuterRule::kMomentum},  {"FedAdam", OuterRule::kAdam},
      {"FedYogi", OuterRule::kYogi},      {"Nesterov", OuterRule::kNesterov},
      {"FedAdagrad", OuterRule::kAdagrad}};
  learning::LocalSettings settings;
  if (spec.name == "FedProx") settings.proximal_mu = spec.mu;
  if (spec.name == "QFedAvg") settings.fairness_q = spec.q;
  if (spec.name == "PerFedAvg")
    settings.meta = {.alpha = spec.inner_learning_rate, .hessian_free = spec.hessian == "HessianFree"};
  for (const auto& [name, rule] : kServerSteps)
    if (spec.name == name)
      return std::unique_ptr<Strategy>(
          std::make_unique<FedOpt>(parameters, outer_options(rule, spec), settings, needs.by_examples));
  return invalid_argument(
      fmt::format("strategy.name: \"{}\" is not known here; use one of the schema's, and "
                  "bring muster-operator and the pods to one version",
                  spec.name));
}

}  // namespace muster::agg
