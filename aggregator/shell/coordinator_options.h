#pragma once  // aggregator/shell/coordinator_options.h: what a Coordinator is given, and what it leaves
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "aggregator/shell/global_model.h"
#include "aggregator/shell/upload.h"
#include "aggregator/store/round_store.h"
#include "aggregator/strategy/strategy.h"
#include "common/spec/federation.h"
#include "learning/model.h"

namespace muster::agg {

struct CoordinatorOptions {
  spec::Federation federation;
  std::vector<std::uint64_t> examples_max;  // of each client: what it trains on in all; empty: unknown
  std::vector<std::uint64_t> held_out_max;  // of each client: what it tests on; empty: nothing
  std::uint64_t upload_memory_max = kUploadMemory;
  std::chrono::milliseconds selection_grace{2'000};
  std::chrono::milliseconds selection_timeout{300'000};
  std::optional<std::chrono::milliseconds> report_deadline;  // instead of the spec's whole seconds
};

// Each runs on one thread of the coordinator, one call at a time, so that the service goes on meanwhile.
struct CoordinatorPorts {
  // Empty with spec.training.program: the history is then what the clients tell.
  std::function<learning::Evaluation(std::span<const float>, std::int64_t round)> evaluate;
  std::function<Status(const RoundView&)> save;
};

struct Outcome {
  int exit_code = 0;
  std::string message;  // why it ended; one sentence
};

struct CommittedModel {
  std::shared_ptr<const GlobalModel> model;
  std::vector<learning::HistoryPoint> history;
};

}  // namespace muster::agg
