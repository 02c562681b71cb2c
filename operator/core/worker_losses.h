#pragma once  // operator/core/worker_losses.h: which workers of a training are lost, and why
#include <string>
#include <vector>

#include "operator/api/distributed_job.h"
#include "operator/core/pass.h"

namespace muster::op {

struct Loss {  // of a worker, or of a parameter server
  const Pod* pod = nullptr;
  std::string words;  // for people: how it ended, or why it is given up
  bool counts = false;
};

// Those of `workers` that have ended, are being deleted, stand still by the words of a member which lost
// them, or are out of reach. One that ended because it lost a peer is told after a while: the cause counts
// instead.
[[nodiscard]] std::vector<Loss> losses_of(Pass& pass, const api::DistributedJobSpec& spec,
                                          const std::vector<const Pod*>& workers);

// Replaces the pod alone, and counts it. True when the job has failed with it.
[[nodiscard]] bool replace_alone(Pass& pass, const Loss& loss, std::int64_t restarts_max);

}  // namespace muster::op
