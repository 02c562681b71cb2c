#pragma once  // operator/api/federated_round.h: FederatedRound as a typed value, and its status back to JSON
#include "common/spec/federation.h"
#include "operator/api/meta.h"
#include "operator/api/run_policy.h"
#include "operator/api/status.h"

namespace muster::op::api {

struct FederatedRoundSpec {
  bool suspend = false;
  spec::Federation federation;  // rounds, target, training, strategy, cohort, stragglers, clients, partition
  Json aggregator_template;     // PodTemplateSpec
  Json client_template;         // PodTemplateSpec
  RunPolicy run_policy;

  [[nodiscard]] std::int64_t client_pods() const {  // ceil(count / perPod)
    return (federation.clients + federation.clients_per_pod - 1) / federation.clients_per_pod;
  }
};

struct FederatedRound {
  ObjectMeta meta;
  Result<FederatedRoundSpec> spec;
  JobStatus status;
};

[[nodiscard]] Result<FederatedRoundSpec> federated_round_spec_from_json(const Json& spec);
[[nodiscard]] Result<FederatedRound> federated_round_from_json(const Json& object);

}  // namespace muster::op::api
