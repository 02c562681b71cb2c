#pragma once  // learning/checkpoint.h: the files of a training: numbered checkpoints, then the model and its
              // history
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"
#include "learning/ledger.h"
#include "learning/model.h"
#include "learning/optimizer.h"
#include "learning/optimizer_state.h"
#include "learning/safetensors.h"

namespace muster::learning {

struct HistoryPoint {
  std::int64_t at = 0;  // step or round, counted from 1
  double loss = 0;
  std::optional<double> accuracy;
  friend bool operator==(const HistoryPoint&, const HistoryPoint&) = default;
};

// Copies an optimizer's state out, and back in, without an outer one's. restore: kInvalidArgument when the
// slots differ in name or length.
[[nodiscard]] OptimizerState capture(Optimizer& optimizer);
[[nodiscard]] Status restore(Optimizer& optimizer, const OptimizerState& state);

struct TrainingState {
  std::int64_t step = 0;                 // completed steps, or rounds; the number in the file's name
  std::int64_t epoch = 0;                // completed epochs
  std::int64_t examples_into_epoch = 0;  // of the global order, already trained on in the present epoch
  std::vector<float> parameters;         // [P]
  OptimizerState optimizer;              // empty where there is none
  std::vector<HistoryPoint> history;
  double trained_seconds = 0;                        // of the steps that it holds, wherever they were made
  std::map<std::int64_t, std::string> topologies{};  // that were picked for so many ranks
  std::optional<Ledger> ledger{};                    // absent: nobody kept one
  friend bool operator==(const TrainingState&, const TrainingState&) = default;
};

// SHA-256 of parameters and optimizer state, as 64 hex digits: of two replicas the same, if they are in step.
[[nodiscard]] std::string digest_of(const TrainingState& state);

// The same by reference, so that a model is written from where it lies.
struct TrainingStateView {
  TrainingStateView() = default;
  TrainingStateView(
      const TrainingState& state)  // NOLINT(google-explicit-constructor): a state is a view of itself
      : step(state.step),
        epoch(state.epoch),
        examples_into_epoch(state.examples_into_epoch),
        parameters(state.parameters),
        optimizer_steps(state.optimizer.steps),
        history(state.history),
        trained_seconds(state.trained_seconds),
        topologies(state.topologies),
        ledger(state.ledger) {
    slots.reserve(state.optimizer.slots.size());
    for (const auto& slot : state.optimizer.slots) slots.push_back({slot.name, slot.values});
  }
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  std::int64_t examples_into_epoch = 0;
  std::span<const float> parameters;
  std::int64_t optimizer_steps = 0;
  std::vector<SlotView> slots;  // of the optimizer; empty where there is none
  std::span<const HistoryPoint> history;
  double trained_seconds = 0;
  std::map<std::int64_t, std::string> topologies;
  std::optional<Ledger> ledger;
};

struct CheckpointOptions {
  std::filesystem::path folder;  // created when missing
  std::string prefix = "step";   // "step" (worker) or "round" (aggregator)
  std::string fingerprint;       // of the spec; a checkpoint with another one is refused
  std::int64_t keep = 3;         // newest numbered files left by save
  std::string owner = {};        // uid of the object: its own finished model is known again; empty: none is
  std::string data_digest = {};  // Dataset::digest; a checkpoint with another one is refused
  std::vector<std::string> class_names = {};          // Dataset::class_names, for readers of the model
  std::function<void(const std::string&)> note = {};  // what the owner should know, in one sentence
};

struct LoadedState {
  std::optional<TrainingState> state;  // absent: nothing to resume from
  bool finished = false;             // it is the model that this owner ended with: only finish is left to do
  std::filesystem::path path;        // where it came from
  std::vector<std::string> skipped;  // one sentence for each damaged file that was passed over
};

// The files of one training. One writer a folder; not thread-safe, but save may run on a thread of its own.
class CheckpointStore {
 public:
  // `tensors`: Model::tensors(), the names under which parameters are stored.
  CheckpointStore(CheckpointOptions options, std::span<const Tensor> tensors);

  // Writes <prefix>-%08d.safetensors atomically, then removes all but the newest `keep` and stale
  // temporaries. Errors: kResourceExhausted, kPermissionDenied, kNotFound; the earlier checkpoints are then
  // untouched.
  [[nodiscard]] Status save(const TrainingStateView& state);
  // The owner's finished model, else the newest whole checkpoint; none in the folder (or no folder) is no
  // error. Truncated and garbled files are passed over. Nothing is written or removed.
  // Errors: kFailedPrecondition (the newest whole one does not fit: it is of another training, other data or
  // another model; names both and the remedy); kPermissionDenied.
  [[nodiscard]] Result<LoadedState> load_newest() const;
  // Writes model.safetensors (named tensors) and history.csv, then removes the numbered files. Those of
  // another training stay, as model.<n>.safetensors and history.<n>.csv. A process that is killed during or
  // after it finds the model again by its owner, and does the rest.
  [[nodiscard]] Status finish(const TrainingStateView& state);

 private:
  [[nodiscard]] std::vector<std::filesystem::path> numbered() const;  // oldest first
  [[nodiscard]] Result<TrainingState> load(const std::filesystem::path& path) const;
  [[nodiscard]] Result<std::optional<TrainingState>> load_finished() const;
  [[nodiscard]] Status set_aside_another_model() const;
  [[nodiscard]] Status check_origin(const SafetensorsFile& file, const std::filesystem::path& path) const;
  [[nodiscard]] std::map<std::string, std::string> metadata() const;
  [[nodiscard]] Result<TrainingState> state_of(SafetensorsFile file, const std::filesystem::path& path) const;
  [[nodiscard]] std::vector<NamedTensor> named(std::span<const float> parameters) const;

  CheckpointOptions options_;
  std::vector<Tensor> tensors_;
};

// A short stable name of `spec`: the first 16 hex digits of the SHA-256 of the fields that differ from
// `defaults`. So a version that adds a field with a default resumes the checkpoints of one without it.
[[nodiscard]] std::string fingerprint_of(const Json& spec, const Json& defaults);

}  // namespace muster::learning
