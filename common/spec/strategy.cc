// common/spec/strategy.cc: which strategy reads which field
#include "common/spec/strategy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <variant>
#include <vector>

namespace muster::spec {
namespace {

// Those that take the mean of the updates, weighted as `weighting` says.
constexpr std::array<std::string_view, 7> kMeans{"FedAvg",  "FedProx", "FedAvgM",   "Nesterov",
                                                 "FedAdam", "FedYogi", "FedAdagrad"};

struct StrategyField {
  std::string_view name;
  std::variant<double Strategy::*, std::int64_t Strategy::*, std::string Strategy::*> value;
  double min;
  double max;
  std::vector<std::string_view> readers;         // strategies that read it
  std::vector<std::string_view> needed_by = {};  // those of them for which no value fits every problem
};

const std::vector<StrategyField>& strategy_fields() {
  constexpr double kDecayMax = 0.999999;
  const std::vector<std::string_view> adaptive{"FedAdam", "FedYogi", "FedAdagrad"};
  static const std::vector<StrategyField> kFields{
      {"mu", &Strategy::mu, 0, 1e6, {"FedProx"}, {"FedProx"}},
      {"q", &Strategy::q, 0, 10, {"QFedAvg"}, {"QFedAvg"}},
      {"innerLearningRate", &Strategy::inner_learning_rate, 1e-12, 1e6, {"PerFedAvg"}, {"PerFedAvg"}},
      {"hessian", &Strategy::hessian, 0, 0, {"PerFedAvg"}},
      {"weighting", &Strategy::weighting, 0, 0, {kMeans.begin(), kMeans.end()}},
      {"learningRate",
       &Strategy::learning_rate,
       1e-12,
       1e6,
       {"FedAvgM", "Nesterov", "FedAdam", "FedYogi", "FedAdagrad", "SCAFFOLD", "FedBuff"},
       adaptive},
      {"momentum", &Strategy::momentum, 0, kDecayMax, {"FedAvgM", "Nesterov"}},
      {"beta1", &Strategy::beta1, 0, kDecayMax, adaptive},
      {"beta2", &Strategy::beta2, 0, kDecayMax, {"FedAdam", "FedYogi"}},
      {"tau", &Strategy::tau, 1e-12, 1e6, adaptive},
      {"trimFraction", &Strategy::trim_fraction, 0.001, 0.499, {"TrimmedMean"}, {"TrimmedMean"}},
      {"byzantineClients", &Strategy::byzantine_clients, 0, kEveryUpdateMax, {"Krum"}, {"Krum"}},
      {"averagedUpdates", &Strategy::averaged_updates, 1, kEveryUpdateMax, {"Krum"}},
      {"heldOutFraction", &Strategy::held_out_fraction, 0.01, 0.9, {"Scoring"}},
      {"bufferSize", &Strategy::buffer_size, 1, 100'000, {"FedBuff"}},
      {"maxStaleness", &Strategy::max_staleness, 0, 1000, {"FedBuff"}},
  };
  return kFields;
}

bool among(const Strategy& strategy, const std::vector<std::string_view>& names) {
  return std::find(names.begin(), names.end(), strategy.name) != names.end();
}

bool given(const Json& json, std::string_view name) {
  const auto found = json.find(name);
  return found != json.end() && !found->is_null();
}

// A field that nobody reads is a mistake: its owner believes that it does something.
Status check_readers(const Json& json, const std::string& path, const Strategy& strategy,
                     const StrategyField& field) {
  if (given(json, field.name) && !among(strategy, field.readers))
    return invalid_argument(fmt::format("{}.{}: only {} {} it, not {}; remove the field", path, field.name,
                                        fmt::join(field.readers, ", "),
                                        field.readers.size() == 1 ? "reads" : "read", strategy.name));
  if (!given(json, field.name) && among(strategy, field.needed_by))
    return invalid_argument(fmt::format("{0}.{1}: {2} needs it; add {1}", path, field.name, strategy.name));
  return {};
}

}  // namespace

Result<Strategy> strategy_from_json(const Json& json, const std::string& path) {
  Strategy strategy;
  Fields fields(json, path);
  fields.one_of("name", strategy.name,
                {"FedAvg", "FedProx", "QFedAvg", "PerFedAvg", "FedAvgM", "Nesterov", "FedAdam", "FedYogi",
                 "FedAdagrad", "SCAFFOLD", "FedBuff", "Median", "TrimmedMean", "Krum", "Scoring"});
  for (const StrategyField& field : strategy_fields()) {
    if (const auto* number = std::get_if<double Strategy::*>(&field.value)) {
      fields.number(field.name, strategy.**number, {.min = field.min, .max = field.max});
    } else if (const auto* count = std::get_if<std::int64_t Strategy::*>(&field.value)) {
      fields.integer(
          field.name, strategy.**count,
          {.min = static_cast<std::int64_t>(field.min), .max = static_cast<std::int64_t>(field.max)});
    }
  }
  fields.one_of("hessian", strategy.hessian, {"FirstOrder", "HessianFree"});
  fields.one_of("weighting", strategy.weighting, {"Examples", "Equal"});
  MUSTER_TRY(fields.finish());
  for (const StrategyField& field : strategy_fields()) MUSTER_TRY(check_readers(json, path, strategy, field));
  return strategy;
}

Json to_json(const Strategy& strategy) {
  Json json{{"name", strategy.name}};
  for (const StrategyField& field : strategy_fields())
    if (among(strategy, field.readers))
      std::visit([&](auto value) { json[std::string(field.name)] = strategy.*value; }, field.value);
  return json;
}

namespace {

// The fewest updates of which a fraction is one, as the rule of the CRD says it.
std::int64_t fewest_trimmed(double fraction) {
  constexpr double kOne = 0.999999999;  // 1/3 of three is less than 1 as written
  auto count = static_cast<std::int64_t>(std::ceil(kOne / fraction));
  while (fraction * static_cast<double>(count) < kOne) ++count;
  while (count > 1 && fraction * static_cast<double>(count - 1) >= kOne) --count;
  return count;
}

}  // namespace

StrategyNeeds needs_of(const Strategy& strategy) {
  StrategyNeeds needs;
  const std::string& name = strategy.name;
  needs.held_out = name == "Scoring";
  needs.every_update = name == "Median" || name == "TrimmedMean" || name == "Krum" || needs.held_out;
  needs.plain_sgd = name == "QFedAvg" || name == "PerFedAvg" || name == "SCAFFOLD";
  needs.rounds = name != "FedBuff";
  needs.client_state = name == "SCAFFOLD";
  const bool mean = std::find(kMeans.begin(), kMeans.end(), name) != kMeans.end();
  needs.takes_late = mean;
  needs.takes_copies = mean || name == "QFedAvg" || name == "PerFedAvg";
  needs.by_examples = mean && strategy.weighting == "Examples";
  if (name == "Median") needs.updates_min = 3;  // of two it is their mean
  if (name == "TrimmedMean")                    // else it cuts off nobody
    needs.updates_min = fewest_trimmed(strategy.trim_fraction);
  if (name == "Krum")
    needs.updates_min =
        // Of n updates n - f - 2 have a score of honest neighbours alone (El Mhamdi et al. 2018, section 3).
        std::max(2 * strategy.byzantine_clients + 3,
                 strategy.averaged_updates + strategy.byzantine_clients + 2);
  return needs;
}

}  // namespace muster::spec
