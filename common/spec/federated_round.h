#pragma once  // common/spec/federated_round.h: spec of a FederatedRound: one reader for operator and pods
#include "common/spec/federation.h"
#include "common/spec/run_policy.h"

namespace muster::spec {

// Bounds that keep names of pods within 63 characters and one status within a watch event; the CRD says the
// same.
inline constexpr std::int64_t kClientsMax = 100'000;
inline constexpr std::int64_t kClientsPerPodMax = 10'000;
inline constexpr std::int64_t kClientPodsMax = 1000;

struct FederatedRoundSpec {
  bool suspend = false;
  std::string managed_by;    // absent: this operator; see run_policy.h
  Federation federation;     // all that its pods need
  Json aggregator_template;  // PodTemplateSpec, as the user wrote it; null: none
  Json client_template;      // likewise
  RunPolicy run_policy;

  friend bool operator==(const FederatedRoundSpec&, const FederatedRoundSpec&) = default;

  [[nodiscard]] std::int64_t client_pods() const {  // ceil(count / perPod)
    return (federation.clients + federation.clients_per_pod - 1) / federation.clients_per_pod;
  }
};

// Strict: the error names the field's path. Pod templates are not looked into.
[[nodiscard]] Result<FederatedRoundSpec> federated_round_from_json(const Json& spec);

// The spec as its pods get it: as it stands in the object, less the pod templates, less what is the
// operator's alone and may change at any time (suspend, runPolicy), and less what is at its default:
// distributed_job.h.
[[nodiscard]] Json federated_round_for_pods(const Json& spec);

}  // namespace muster::spec
