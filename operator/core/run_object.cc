// operator/core/run_object.cc: the frame of a pass over one object, the same for both kinds
#include "operator/core/run_object.h"

#include <algorithm>

#include "operator/core/definition.h"
#include "operator/core/followers.h"
#include "operator/core/gang.h"
#include "operator/core/incarnation.h"
#include "operator/core/lifecycle.h"
#include "operator/core/pod_plan.h"
#include "operator/core/ttl.h"

namespace muster::op {
namespace {

constexpr auto kStaleLook = std::chrono::milliseconds(200);
constexpr int kQueueLooks = 4;  // at an admission that cannot be read: every 8 s

void stop(Pass& pass, const ObjectPolicy& policy, const Hold& hold) {
  suspend(pass, policy.pods_wanted, hold);
  if (pass.before.phase != "Suspended") return;  // first that lands: no work is deleted unannounced
  for (const Pod& pod : pass.seen.pods) remove_pod(pass, pod);
  leave_gang(pass);
}

std::optional<Hold> hold_of(const ObjectPolicy& policy, const QueueVerdict& queue) {
  if (policy.suspend)
    return Hold{"Suspended", policy.pods_wanted == 0 ? "spec.workers.replicas is 0" : "spec.suspend is true"};
  return queue.kind == QueueVerdict::Kind::kHeld ? std::optional(queue.hold) : std::nullopt;
}

// A newer pass of ours wrote a status that this snapshot has not seen.
bool is_stale(const Pass& pass, const ObjectPolicy& policy) {
  return std::any_of(policy.roles.begin(), policy.roles.end(), [&pass](const std::string& role) {
    return incarnation_of(pass.seen.pods, role, pass.after.incarnation).stale;
  });
}

void wait_for_news(Pass& pass, WallTime until) {
  pass.after = pass.before;
  pass.again_at(until);
}

void run(Pass& pass, const ObjectPolicy& policy, ObjectBody& body) {
  pass.observe_generation();
  const std::vector<PodSet> sets = pass.meta.queue.empty() ? std::vector<PodSet>() : body.pod_sets(pass);
  const QueueVerdict queue = judge_queue(pass, sets);
  if (queue.kind == QueueVerdict::Kind::kUnknown) return wait_for_news(pass, pass.seen.now + kStaleLook);
  const std::optional<Hold> hold = hold_of(policy, queue);
  if (hold && pass.before.incarnation == 0) {
    suspend(pass, policy.pods_wanted, *hold);
    tend_workload(pass, sets, queue, !policy.suspend);
    return;
  }
  start(pass);
  if (policy.agents) follow_agents(pass, policy.all_agents);
  if (is_stale(pass, policy)) return wait_for_news(pass, pass.seen.now + kStaleLook);
  if (body.conclude(pass)) return;
  if (hold) {
    stop(pass, policy, *hold);
    tend_workload(pass, sets, queue, !policy.suspend);
    return;
  }
  resume(pass);
  if (deadline_passed(pass, policy.run_policy.active_deadline_seconds) || children_invalid(pass)) return;
  if (!queue.hold.message.empty() && std::ssize(pass.seen.pods) < policy.pods_wanted)
    pass.obstacle = {
        .kind = Obstacle::Kind::kRefused, .message = queue.hold.message, .refusals = kQueueLooks};
  body.advance(pass);
  if (!pass.after.finished()) tend_workload(pass, sets, queue, true);
}

}  // namespace

Decision run_object(const Observed& seen, const ObjectPolicy& policy, ObjectBody* body) {
  if (policy.meta.deletion || policy.managed_elsewhere) return {};
  Pass pass(seen, policy.meta, policy.kind, policy.status);
  if (may_begin_anew(policy.status, policy.meta.generation)) {
    begin_anew(pass);
  } else if (policy.status.finished()) {
    clean_up(pass, policy.run_policy, policy.recorded);
    finish_workload(pass);
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
  tell_definition(pass);
  record_end(pass, policy.recorded);
  return land(std::move(pass));
}

}  // namespace muster::op
