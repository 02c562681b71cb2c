// operator/core/run_object.cc: the frame of a pass over one object, the same for both kinds
#include "operator/core/run_object.h"

#include <algorithm>

#include "operator/core/followers.h"
#include "operator/core/gang.h"
#include "operator/core/incarnation.h"
#include "operator/core/lifecycle.h"
#include "operator/core/pod_plan.h"
#include "operator/core/ttl.h"

namespace muster::op {
namespace {

constexpr auto kStaleLook = std::chrono::milliseconds(200);

bool suspended(Pass& pass, const ObjectPolicy& policy) {
  if (!policy.suspend) return false;
  suspend(pass, policy.pods_wanted);
  if (pass.before.phase == "Suspended") {  // that landed: a crash before it deletes no work unannounced
    for (const Pod& pod : pass.seen.pods) remove_pod(pass, pod);
    leave_gang(pass);
  }
  return true;
}

// A newer pass of ours wrote a status that this snapshot has not seen.
bool is_stale(const Pass& pass, const ObjectPolicy& policy) {
  return std::any_of(policy.roles.begin(), policy.roles.end(), [&pass](const std::string& role) {
    return incarnation_of(pass.seen.pods, role, pass.after.incarnation).stale;
  });
}

void run(Pass& pass, const ObjectPolicy& policy, ObjectBody& body) {
  pass.observe_generation();
  if (policy.suspend && pass.before.incarnation == 0) {
    suspend(pass, policy.pods_wanted);
    return;
  }
  start(pass);
  if (policy.agents) follow_agents(pass);
  if (is_stale(pass, policy)) {
    pass.after = pass.before;
    pass.again_at(pass.seen.now + kStaleLook);
    return;
  }
  if (body.conclude(pass) || suspended(pass, policy)) return;
  resume(pass);
  if (deadline_passed(pass, policy.run_policy.active_deadline_seconds) || children_invalid(pass)) return;
  body.advance(pass);
}

}  // namespace

Decision run_object(const Observed& seen, const ObjectPolicy& policy, ObjectBody* body) {
  if (policy.meta.deletion || policy.managed_elsewhere) return {};
  Pass pass(seen, policy.meta, policy.kind, policy.status);
  if (may_begin_anew(policy.status, policy.meta.generation)) {
    begin_anew(pass);
  } else if (policy.status.finished()) {
    clean_up(pass, policy.run_policy);
    return land(std::move(pass));
  }
  pass.after.observed_generation = policy.meta.generation;
  pass.after.selector = selector_of(policy.meta, policy.selector_role);
  if (const Status name = check_name(policy.meta.name); !name) {
    fail(pass, "InvalidSpec", name.error().message);
  } else if (policy.unreadable != nullptr) {
    refuse_spec(pass, policy.unreadable->message);
  } else {
    run(pass, policy, *body);
  }
  return land(std::move(pass));
}

}  // namespace muster::op
