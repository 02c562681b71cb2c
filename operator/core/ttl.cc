// operator/core/ttl.cc: what remains to do for an object that is done
#include "operator/core/ttl.h"

#include "operator/core/failure_policy.h"
#include "operator/core/incarnation.h"

namespace muster::op {

void clean_up(Pass& pass, const spec::RunPolicy& policy) {
  pass.observe_generation();  // what the conditions say does not change
  for (const Pod& pod : pass.seen.pods) {
    const bool ended = pod.phase == PodPhase::kSucceeded || pod.phase == PodPhase::kFailed;
    if (policy.clean_pod_policy == "All" || (policy.clean_pod_policy == "Running" && !ended))
      remove_pod(pass, pod);
  }
  if (!policy.ttl_seconds_after_finished || !pass.before.completion_time) return;
  const WallTime due =
      *pass.before.completion_time + std::chrono::seconds(*policy.ttl_seconds_after_finished);
  if (pass.seen.now < due) {
    pass.again_at(due);
  } else {
    pass.act(DeleteObject{.uid = pass.meta.uid, .foreground = true});
  }
}

}  // namespace muster::op
