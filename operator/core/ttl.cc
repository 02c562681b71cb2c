// operator/core/ttl.cc: what remains to do for an object that is done
#include "operator/core/ttl.h"

#include <algorithm>

#include "operator/core/failure_policy.h"
#include "operator/core/gang.h"
#include "operator/core/incarnation.h"

namespace muster::op {

namespace {

constexpr auto kEvidenceKept = std::chrono::seconds(10);

bool may_keep(const Pod& pod, const std::string& policy) {
  if (policy == "None") return true;
  return policy == "Running" && !pod.runs;
}

// A client has its aggregator's word that it is over, a server its workers': it ends in a moment, and keeps
// its log then.
bool ends_by_itself(const Pass& pass, const Pod& pod, const std::string& policy) {
  return policy == "Running" && pass.before.phase == "Succeeded" &&
         (pod.role == "client" || pod.role == "server") && pod.phase == PodPhase::kRunning && !pod.deletion;
}

}  // namespace

void clean_up(Pass& pass, const spec::RunPolicy& policy, const RecordedPods& recorded) {
  pass.observe_generation();  // what the conditions say does not change
  const WallTime end = pass.before.completion_time.value_or(WallTime::min());
  const bool soon = pass.seen.now < end + kEvidenceKept;
  bool evidence = false;
  bool remains = false;  // a pod to be deleted later, if it is there still
  for (const Pod& pod : pass.seen.pods) {
    const bool fresh = soon && pod.phase == PodPhase::kFailed && !pod.deletion;
    evidence = evidence || fresh;
    if (may_keep(pod, policy.clean_pod_policy)) continue;
    if (fresh || (soon && ends_by_itself(pass, pod, policy.clean_pod_policy))) {
      remains = true;
    } else {
      remove_pod(pass, pod);
    }
  }
  if (remains) pass.again_at(end + kEvidenceKept);
  leave_gang(pass);
  if (!policy.ttl_seconds_after_finished || !pass.before.completion_time) return;
  const WallTime due =
      end + std::max<std::chrono::seconds>(std::chrono::seconds(*policy.ttl_seconds_after_finished),
                                           evidence ? kEvidenceKept : std::chrono::seconds(0));
  if (pass.seen.now < due) {
    pass.again_at(due);
  } else {
    record_before_deletion(pass, recorded, due);
    pass.act(DeleteObject{.uid = pass.meta.uid, .foreground = true});
  }
}

}  // namespace muster::op
