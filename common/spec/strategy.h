#pragma once  // common/spec/strategy.h: spec.strategy of a FederatedRound, and what each strategy needs
#include <string>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::spec {

// Which fields a strategy reads says strategy.cc's table; the others stay at their defaults.
struct Strategy {
  std::string name = "FedAvg";
  double mu = 0;               // FedProx: (mu / 2) ||w - w_t||^2 is added to the clients' loss
  double learning_rate = 1.0;  // of the server's step
  double momentum = 0.9;       // of the server: FedAvgM, Nesterov
  double beta1 = 0.9;          // FedAdam, FedYogi, FedAdagrad
  double beta2 = 0.99;         // FedAdam, FedYogi
  double tau = 1e-3;           // likewise and FedAdagrad: added to the root of the second moment
  friend bool operator==(const Strategy&, const Strategy&) = default;
};

[[nodiscard]] Result<Strategy> strategy_from_json(const Json& json, const std::string& path);
// The fields that the strategy reads.
[[nodiscard]] Json to_json(const Strategy& strategy);

}  // namespace muster::spec
