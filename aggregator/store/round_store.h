#pragma once  // aggregator/store/round_store.h: committed rounds on disk, and the model at the end
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/spec/federation.h"
#include "learning/checkpoint.h"

namespace muster::agg {

struct CommittedRound {
  std::int64_t round = 0;         // 0: nothing is committed, `parameters` are the initial ones
  std::vector<float> parameters;  // [P]
  std::vector<learning::HistoryPoint> history;
  bool finished = false;                                   // it is the last one: its model is written
  std::vector<learning::OptimizerState::Slot> state = {};  // of the strategy; empty before the first round
  std::vector<std::int64_t> counted = {};                  // [clients] CountedUpdates; empty: none
  std::vector<float> devices = {};                         // [clients x 4] DeviceReports; empty: none
};

struct RoundView {  // the same by reference: a model is written from where it lies
  std::int64_t round = 0;
  std::span<const float> parameters;  // [P]
  std::span<const learning::HistoryPoint> history;
  std::vector<learning::SlotView> state = {};  // of the strategy
  std::span<const std::int64_t> counted = {};  // [clients] CountedUpdates
  std::span<const float> devices = {};         // [clients x 4] DeviceReports; empty: none
};

struct RoundData {                       // of learning::Dataset
  std::string digest;                    // rounds that were trained on other data are refused
  std::vector<std::string> class_names;  // kept with the model
};

// One writer a folder; not thread-safe. Without spec.aggregator.storage.path nothing is kept.
class RoundStore {
 public:
  // `owner`: uid of the FederatedRound, which alone takes its finished model for its end.
  RoundStore(const spec::Federation& federation, std::span<const learning::Tensor> tensors,
             std::string owner = {}, RoundData data = {});

  // The newest whole committed round, if any; `notes` receives one sentence for each damaged file passed
  // over. Errors: kFailedPrecondition: the folder holds rounds of another federation, or of other data.
  [[nodiscard]] Result<std::optional<CommittedRound>> load(std::vector<std::string>& notes) const;
  // Durable when it returns. Errors: kResourceExhausted, kPermissionDenied: as CheckpointStore.
  [[nodiscard]] Status commit(const RoundView& round);
  // Writes model.safetensors and history.csv and removes the numbered files.
  [[nodiscard]] Status finish(const RoundView& round);

 private:
  std::size_t clients_;
  std::optional<learning::CheckpointStore> files_;
};

// What makes two federations the same training: everything but how long it runs and when it stops.
[[nodiscard]] std::string federation_fingerprint(const spec::Federation& federation);

}  // namespace muster::agg
