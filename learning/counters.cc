// learning/counters.cc: step, epoch, curve, topologies and ledger to JSON and back
#include "learning/counters.h"

#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "common/json/fields.h"
#include "common/json/read_json.h"

namespace muster::learning {
namespace {

Json history_to_json(std::span<const HistoryPoint> history) {
  Json json = Json::array();
  for (const HistoryPoint& point : history)
    json.push_back({point.at, point.loss, point.accuracy ? Json(*point.accuracy) : Json()});
  return json;
}

// Loss may be null: JSON has no NaN.
std::optional<std::vector<HistoryPoint>> history_from_json(const Json& json) {
  if (!json.is_array()) return std::nullopt;
  std::vector<HistoryPoint> history;
  for (const Json& point : json) {
    if (!point.is_array() || point.size() != 3 || !point[0].is_number_integer() ||
        !(point[1].is_number() || point[1].is_null()) || !(point[2].is_number() || point[2].is_null()))
      return std::nullopt;
    HistoryPoint& read = history.emplace_back();
    read.at = point[0].get<std::int64_t>();
    read.loss = point[1].is_null() ? std::numeric_limits<double>::quiet_NaN() : point[1].get<double>();
    if (point[2].is_number()) read.accuracy = point[2].get<double>();
  }
  return history;
}

Json topologies_to_json(const std::map<std::int64_t, std::string>& topologies) {
  Json json = Json::object();
  for (const auto& [ranks, name] : topologies) json[std::to_string(ranks)] = name;
  return json;
}

std::optional<std::map<std::int64_t, std::string>> topologies_from_json(const Json& json) {
  std::map<std::int64_t, std::string> topologies;
  for (const auto& [key, value] : json.items()) {
    std::int64_t ranks = 0;
    const auto [stop, error] = std::from_chars(key.data(), key.data() + key.size(), ranks);
    if (error != std::errc() || stop != key.data() + key.size() || !value.is_string()) return std::nullopt;
    topologies[ranks] = value.get<std::string>();
  }
  return topologies;
}

template <std::size_t N>
std::optional<std::array<std::int64_t, N>> integers_from(const Json& json) {
  std::array<std::int64_t, N> read{};
  if (!json.is_array() || json.size() != N) return std::nullopt;
  for (std::size_t i = 0; i < N; ++i) {
    if (!json[i].is_number_integer()) return std::nullopt;
    read[i] = json[i].get<std::int64_t>();
  }
  return read;
}

}  // namespace

// Digests go as the signed number of the same bits.
std::string text_of(const Ledger& ledger) {
  const Ledger::Open& open = ledger.open();
  Json epochs = Json::array();
  for (const EpochBalance& epoch : ledger.balances())
    epochs.push_back({epoch.epoch, epoch.expected, epoch.counted, epoch.twice, epoch.missed,
                      static_cast<std::int64_t>(epoch.digest)});
  const Json json{
      {"open", {open.reached, open.counted, open.twice, open.missed, static_cast<std::int64_t>(open.digest)}},
      {"epochs", std::move(epochs)}};
  return json.dump();
}

std::optional<Ledger> read_ledger(const std::string& text) {
  const Json json = read_json(text);
  if (!json.is_object()) return std::nullopt;
  const auto open = integers_from<5>(json.value("open", Json()));
  const Json listed = json.value("epochs", Json());
  if (!open || !listed.is_array()) return std::nullopt;
  std::vector<EpochBalance> epochs;
  for (const Json& one : listed) {
    const auto read = integers_from<6>(one);
    if (!read) return std::nullopt;
    const auto& [epoch, expected, counted, twice, missed, digest] = *read;
    epochs.push_back({.epoch = epoch,
                      .expected = expected,
                      .counted = counted,
                      .twice = twice,
                      .missed = missed,
                      .digest = static_cast<std::uint64_t>(digest)});
  }
  const auto& [reached, counted, twice, missed, digest] = *open;
  return Ledger::of({.reached = reached,
                     .counted = counted,
                     .twice = twice,
                     .missed = missed,
                     .digest = static_cast<std::uint64_t>(digest)},
                    epochs);
}

bool read_counters(const std::string& text, TrainingState& state) {
  const Json json = read_json(text);
  if (!json.is_object()) return false;
  Fields fields(json, "state");
  const IntegerRange counts{.min = 0};
  Json history;
  Json topologies;  // files of earlier releases have none, nor the time
  fields.require("step").integer("step", state.step, counts).integer("epoch", state.epoch, counts);
  fields.integer("examplesIntoEpoch", state.examples_into_epoch, counts);
  fields.integer("optimizerSteps", state.optimizer.steps, counts).raw("history", history);
  fields.number("trainedSeconds", state.trained_seconds, {.min = 0}).raw("topologies", topologies);
  auto points = history_from_json(history);
  auto picked = topologies_from_json(topologies);
  if (!fields.finish() || !points || !picked) return false;
  state.history = std::move(*points);
  state.topologies = std::move(*picked);
  return true;
}

std::string counters_of(const TrainingStateView& state) {
  Json json{{"step", state.step},
            {"epoch", state.epoch},
            {"examplesIntoEpoch", state.examples_into_epoch},
            {"optimizerSteps", state.optimizer_steps},
            {"history", history_to_json(state.history)}};
  if (state.trained_seconds > 0) json["trainedSeconds"] = state.trained_seconds;
  if (!state.topologies.empty()) json["topologies"] = topologies_to_json(state.topologies);
  return json.dump();
}

}  // namespace muster::learning
