#pragma once  // operator/api/federated_round.h: FederatedRound as a typed value, and its status back to JSON
#include "common/spec/federated_round.h"
#include "operator/api/meta.h"
#include "operator/api/status.h"

namespace muster::op::api {

using spec::FederatedRoundSpec;

struct FederatedRound {
  ObjectMeta meta;
  Result<FederatedRoundSpec> spec;
  std::string for_pods;  // the spec as its pods get it, JSON
  JobStatus status;
  bool managed_elsewhere = false;  // spec.managedBy names another controller
};

[[nodiscard]] Result<FederatedRoundSpec> federated_round_spec_from_json(const Json& spec);
[[nodiscard]] Result<FederatedRound> federated_round_from_json(const Json& object);

}  // namespace muster::op::api
