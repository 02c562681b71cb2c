// aggregator/store/round_store.cc: rounds as learning's checkpoints with prefix "round"
#include "aggregator/store/round_store.h"

#include <utility>

#include "common/json/access.h"
#include "common/platform/log.h"

namespace muster::agg {
namespace {

// Beside the strategy's own: numbers of rounds, which float32 holds exactly.
constexpr const char* kCountedSlot = "counted";
constexpr const char* kDevicesSlot = "devices";

// What stands in a file may be anything.
std::int64_t number_of(float number) {
  const bool sound = number >= 0 && number <= static_cast<float>(1 << 24);
  return sound ? static_cast<std::int64_t>(number) : 0;
}

learning::TrainingStateView training_state(const RoundView& round) {
  learning::TrainingStateView state;
  state.step = round.round;
  state.parameters = round.parameters;
  state.history = round.history;
  state.slots = round.state;
  return state;
}

}  // namespace

RoundStore::RoundStore(const spec::Federation& federation, std::span<const learning::Tensor> tensors,
                       std::string owner, RoundData data)
    : clients_(static_cast<std::size_t>(federation.clients)) {
  if (federation.storage_path.empty()) return;
  files_.emplace(
      learning::CheckpointOptions{.folder = federation.storage_path,
                                  .prefix = "round",
                                  .fingerprint = federation_fingerprint(federation),
                                  .owner = std::move(owner),
                                  .data_digest = std::move(data.digest),
                                  .class_names = std::move(data.class_names),
                                  .note = [](const std::string& note) { spdlog::warn("{}", note); }},
      tensors);
}

Result<std::optional<CommittedRound>> RoundStore::load(std::vector<std::string>& notes) const {
  if (!files_) return std::optional<CommittedRound>();
  MUSTER_ASSIGN(learning::LoadedState loaded, files_->load_newest());
  notes = std::move(loaded.skipped);
  if (!loaded.state) return std::optional<CommittedRound>();
  auto& slots = loaded.state->optimizer.slots;
  std::vector<std::int64_t> counted;
  if (!slots.empty() && slots.back().name == kCountedSlot) {
    if (slots.back().values.size() == clients_) {
      counted.reserve(clients_);
      for (const float number : slots.back().values) counted.push_back(number_of(number));
    }
    slots.pop_back();
  }
  std::vector<float> devices;
  if (!slots.empty() && slots.back().name == kDevicesSlot) {
    devices = std::move(slots.back().values);
    slots.pop_back();
  }
  return std::optional(CommittedRound{.round = loaded.state->step,
                                      .parameters = std::move(loaded.state->parameters),
                                      .history = std::move(loaded.state->history),
                                      .finished = loaded.finished,
                                      .state = std::move(slots),
                                      .counted = std::move(counted),
                                      .devices = std::move(devices)});
}

Status RoundStore::commit(const RoundView& round) {
  if (!files_) return {};
  const std::vector<float> counted(round.counted.begin(), round.counted.end());
  learning::TrainingStateView state = training_state(round);
  if (!round.devices.empty()) state.slots.push_back({kDevicesSlot, round.devices});
  if (!counted.empty()) state.slots.push_back({kCountedSlot, counted});
  return files_->save(state);
}

Status RoundStore::finish(const RoundView& round) {
  return files_ ? files_->finish(training_state(round)) : Status();
}

std::string federation_fingerprint(const spec::Federation& federation) {
  Json json = spec::to_json(federation);
  for (const char* changeable : {"rounds", "target", "stragglers", "aggregator"}) json.erase(changeable);
  for (const char* changeable : {"perPod", "storage"}) json["clients"].erase(changeable);
  json["cohort"].erase("maxExamplesPerClient");
  Json training = spec::what_is_learnt(json["training"]);
  // Checkpoints of earlier releases have it in their fingerprint; where it is, data is held to its digest
  // besides.
  if (const Json& path = member(json, "training", "dataset", "path"); !path.is_null())
    training["dataset"]["path"] = path;
  json["training"] = std::move(training);
  spec::Federation usual;
  usual.strategy.name = federation.strategy.name;  // whose fields have their own defaults
  Json defaults = spec::to_json(usual);
  defaults["strategy"]["name"] = spec::Federation{}.strategy.name;
  return learning::fingerprint_of(json, defaults);
}

}  // namespace muster::agg
