// common/spec/strategy.cc: which strategy reads which field
#include "common/spec/strategy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

namespace muster::spec {
namespace {

struct NumberField {
  std::string_view name;
  double Strategy::*value;
  NumberRange range;
  std::vector<std::string_view> readers;         // strategies that read it
  std::vector<std::string_view> needed_by = {};  // those of them for which no value fits every problem
};

const std::vector<NumberField>& number_fields() {
  constexpr NumberRange kDecay{.min = 0, .max = 0.999999};
  static const std::vector<NumberField> fields{
      {.name = "mu",
       .value = &Strategy::mu,
       .range = {.min = 0, .max = 1e6},
       .readers = {"FedProx"},
       .needed_by = {"FedProx"}},
      {.name = "learningRate",
       .value = &Strategy::learning_rate,
       .range = {.min = 1e-12, .max = 1e6},
       .readers = {"FedAvgM", "Nesterov", "FedAdam", "FedYogi", "FedAdagrad"},
       .needed_by = {"FedAdam", "FedYogi", "FedAdagrad"}},
      {.name = "momentum", .value = &Strategy::momentum, .range = kDecay, .readers = {"FedAvgM", "Nesterov"}},
      {.name = "beta1",
       .value = &Strategy::beta1,
       .range = kDecay,
       .readers = {"FedAdam", "FedYogi", "FedAdagrad"}},
      {.name = "beta2", .value = &Strategy::beta2, .range = kDecay, .readers = {"FedAdam", "FedYogi"}},
      {.name = "tau",
       .value = &Strategy::tau,
       .range = {.min = 1e-12, .max = 1e6},
       .readers = {"FedAdam", "FedYogi", "FedAdagrad"}},
  };
  return fields;
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
                     std::string_view name, const std::vector<std::string_view>& readers,
                     const std::vector<std::string_view>& needed_by) {
  if (given(json, name) && !among(strategy, readers))
    return invalid_argument(fmt::format("{}.{}: only {} {} it, not {}; remove the field", path, name,
                                        fmt::join(readers, ", "), readers.size() == 1 ? "reads" : "read",
                                        strategy.name));
  if (!given(json, name) && among(strategy, needed_by))
    return invalid_argument(fmt::format("{0}.{1}: {2} needs it; add {1}", path, name, strategy.name));
  return {};
}

}  // namespace

Result<Strategy> strategy_from_json(const Json& json, const std::string& path) {
  Strategy strategy;
  Fields fields(json, path);
  fields.one_of("name", strategy.name,
                {"FedAvg", "FedProx", "FedAvgM", "Nesterov", "FedAdam", "FedYogi", "FedAdagrad"});
  for (const NumberField& field : number_fields())
    fields.number(field.name, strategy.*field.value, field.range);
  MUSTER_TRY(fields.finish());
  for (const NumberField& field : number_fields())
    MUSTER_TRY(check_readers(json, path, strategy, field.name, field.readers, field.needed_by));
  return strategy;
}

Json to_json(const Strategy& strategy) {
  Json json{{"name", strategy.name}};
  for (const NumberField& field : number_fields())
    if (among(strategy, field.readers)) json[std::string(field.name)] = strategy.*field.value;
  return json;
}

}  // namespace muster::spec
