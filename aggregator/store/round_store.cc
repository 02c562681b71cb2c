// aggregator/store/round_store.cc: rounds as learning's checkpoints with prefix "round"
#include "aggregator/store/round_store.h"

#include <utility>

#include "common/platform/log.h"

namespace muster::agg {
namespace {

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
                       std::string owner, RoundData data) {
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
  return std::optional(CommittedRound{.round = loaded.state->step,
                                      .parameters = std::move(loaded.state->parameters),
                                      .history = std::move(loaded.state->history),
                                      .finished = loaded.finished,
                                      .state = std::move(loaded.state->optimizer.slots)});
}

Status RoundStore::commit(const RoundView& round) {
  return files_ ? files_->save(training_state(round)) : Status();
}

Status RoundStore::finish(const RoundView& round) {
  return files_ ? files_->finish(training_state(round)) : Status();
}

std::string federation_fingerprint(const spec::Federation& federation) {
  Json json = spec::to_json(federation);
  for (const char* changeable : {"rounds", "target", "stragglers", "aggregator"}) json.erase(changeable);
  json["clients"].erase("perPod");
  json["cohort"].erase("maxExamplesPerClient");
  spec::Federation usual;
  usual.strategy.name = federation.strategy.name;  // whose fields have their own defaults
  Json defaults = spec::to_json(usual);
  defaults["strategy"]["name"] = spec::Federation{}.strategy.name;
  return learning::fingerprint_of(json, defaults);
}

}  // namespace muster::agg
