#pragma once  // common/spec/strategy.h: spec.strategy of a FederatedRound, and what each strategy needs
#include <cstdint>
#include <string>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::spec {

// Updates that a strategy may want at once: Krum compares each with each.
inline constexpr std::int64_t kEveryUpdateMax = 1000;

// Which fields a strategy reads says strategy.cc's table; the others stay at their defaults.
struct Strategy {
  std::string name = "FedAvg";
  double mu = 0;                       // FedProx: (mu / 2) ||w - w_t||^2 is added to the clients' loss
  double q = 0;                        // QFedAvg: how much more clients with a large loss count
  double inner_learning_rate = 0;      // PerFedAvg: alpha, of the step by which a client adapts the model
  std::string hessian = "FirstOrder";  // PerFedAvg: FirstOrder | HessianFree
  std::string weighting =
      "Examples";              // FedAvg and its kin: Examples | Equal: how an update weighs in the mean
  double learning_rate = 1.0;  // of the server's step
  double momentum = 0.9;       // of the server: FedAvgM, Nesterov
  double beta1 = 0.9;          // FedAdam, FedYogi, FedAdagrad
  double beta2 = 0.99;         // FedAdam, FedYogi
  double tau = 1e-3;           // likewise and FedAdagrad: added to the root of the second moment
  double trim_fraction = 0.1;  // TrimmedMean: this share of the values is cut off at either end
  std::int64_t byzantine_clients = 0;  // Krum: f, of a round
  std::int64_t averaged_updates = 1;   // Krum: m
  std::int64_t buffer_size = 10;       // FedBuff: K, updates that make a version of the model
  double held_out_fraction = 0.2;      // Scoring: of the test data, what scores updates and nothing else
  std::int64_t max_staleness = 20;     // FedBuff: an update of a version that is older than this is not used
  friend bool operator==(const Strategy&, const Strategy&) = default;
};

// What a federation must have for the strategy to be sound; compared by validate(Federation).
struct StrategyNeeds {
  bool held_out = false;         // the aggregator has data of its own, to score updates on
  bool every_update = false;     // all updates of a round at once, kept in the storage; else a sum suffices
  bool plain_sgd = false;        // clients descend by SGD without momentum, whose learning rate it divides by
  std::int64_t updates_min = 1;  // fewer in a round make no model
  bool rounds = true;            // false: updates come when they come, and so many of them make a version
  bool client_state = false;     // clients keep something between rounds, which goes on when an update counts
  bool takes_late = false;       // an update of an earlier round may count with a smaller weight
  bool takes_copies = false;     // an update may count several times, for a client that was drawn so often
  bool by_examples = false;      // updates weigh by their examples
};
[[nodiscard]] StrategyNeeds needs_of(const Strategy& strategy);

[[nodiscard]] Result<Strategy> strategy_from_json(const Json& json, const std::string& path);
// The fields that the strategy reads.
[[nodiscard]] Json to_json(const Strategy& strategy);

}  // namespace muster::spec
