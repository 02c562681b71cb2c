#pragma once  // common/spec/federation.h: what an aggregator and its clients need of a FederatedRound's spec
#include <cstdint>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/spec/partition.h"
#include "common/spec/personalization.h"
#include "common/spec/strategy.h"
#include "common/spec/training.h"

namespace muster::spec {

struct Target {  // spec.target: stop as soon as the test metric reaches the value
  std::string metric = "Accuracy";
  double value = 1.0;  // 0..1
  friend bool operator==(const Target&, const Target&) = default;
};

struct ClientTraining {            // spec.training of a FederatedRound
  std::optional<Program> program;  // then model, dataset and objective say nothing; it is told the rest
  Model model;
  Dataset dataset;
  std::string objective = "CrossEntropy";
  std::int64_t local_epochs = 1;
  std::int64_t batch_size = 10;  // 0: one full batch
  Optimizer optimizer;
  std::int64_t seed = 0;
  friend bool operator==(const ClientTraining&, const ClientTraining&) = default;
};

struct Cohort {                      // spec.cohort
  std::int64_t size = 10;            // updates that close a round
  double over_selection = 1.0;       // clients selected = ceil(size * over_selection)
  std::int64_t minimum = 1;          // fewer reports at the deadline: the round fails and is tried again
  std::string sampling = "Uniform";  // Uniform | BySize: by examples, with replacement
  // An update that claims more is refused. Absent: kExamplesUsual, which bounds nothing where nobody knows
  // what clients hold: see validate.
  std::optional<std::int64_t> max_examples_per_client = std::nullopt;
  friend bool operator==(const Cohort&, const Cohort&) = default;
};

inline constexpr std::int64_t kExamplesUsual = 1'000'000'000;
[[nodiscard]] inline std::int64_t examples_limit(const Cohort& cohort) {
  return cohort.max_examples_per_client.value_or(kExamplesUsual);
}

// How many clients a round selects. The product is rounded to 1e-9 first, so that 50 * 1.1, which is above 55
// in binary, selects 55.
[[nodiscard]] std::int64_t selection_count(const Cohort& cohort);

struct Stragglers {  // spec.stragglers
  std::int64_t deadline_seconds = 60;
  std::string policy = "Drop";  // Drop | AcceptPartial | Buffer
  friend bool operator==(const Stragglers&, const Stragglers&) = default;
};

struct Federation {
  std::optional<std::int64_t> rounds = 1;  // absent: it goes on for ever
  std::optional<Target> target;
  ClientTraining training;
  Strategy strategy;
  Cohort cohort;
  Stragglers stragglers;
  std::int64_t clients = 1;           // spec.clients.count
  std::int64_t clients_per_pod = 25;  // spec.clients.perPod: client c is played by pod c / perPod
  Partition partition;
  std::optional<Personalization> personalization;
  std::optional<Stream> stream;     // spec.clients.stream
  std::string storage_path;         // spec.aggregator.storage.path; empty: nothing is kept
  std::string client_storage_path;  // spec.clients.storage.path; empty: what clients keep is in memory
  friend bool operator==(const Federation&, const Federation&) = default;
};

// Clients keep something between rounds, which goes on when an update counts.
[[nodiscard]] bool keeps_client_state(const Federation& federation);

// In the manifest's shape, less pod templates; read by federated_round_from_json.
[[nodiscard]] Json to_json(const Federation& federation);

// The pieces of the manifest.
[[nodiscard]] Result<ClientTraining> client_training_from_json(const Json& json, const std::string& path);
[[nodiscard]] Result<Target> target_from_json(const Json& json, const std::string& path);
[[nodiscard]] Result<Cohort> cohort_from_json(const Json& json, const std::string& path);
[[nodiscard]] Result<Stragglers> stragglers_from_json(const Json& json, const std::string& path);
// Facts that hold between fields, e.g. minimum <= size <= clients; the message names the fields.
[[nodiscard]] Status validate(const Federation& federation);

}  // namespace muster::spec
