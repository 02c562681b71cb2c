// operator/core/pass.cc: one pass over one object: what it saw, what it decided, the status it will write
#include "operator/core/pass.h"

#include <algorithm>

#include "common/base/text.h"
#include "common/json/access.h"

namespace muster::op {
namespace {

constexpr auto kProgressPeriod = std::chrono::seconds(1);
constexpr std::chrono::milliseconds kRequeueMin{1};  // 0 would mean: never
constexpr std::size_t kMessageMax = 1024;            // of a condition, as the CRD's maxLength allows

// True when more than progress changed: somebody waits for it, or a later step depends on it.
bool is_urgent(const api::JobStatus& before, const api::JobStatus& after) {
  if (before.phase != after.phase || before.conditions.size() != after.conditions.size()) return true;
  for (const api::Condition& condition : after.conditions) {
    const api::Condition* old = api::find_condition(before.conditions, condition.type);
    if (old == nullptr || old->status != condition.status || old->reason != condition.reason) return true;
  }
  return before.restarts != after.restarts || before.disruptions != after.disruptions ||
         before.incarnation != after.incarnation || before.formed_incarnation != after.formed_incarnation ||
         before.membership != after.membership || before.roster != after.roster ||
         before.servers != after.servers || before.holders != after.holders ||
         before.observed_generation != after.observed_generation ||
         before.succeeded_ranks != after.succeeded_ranks || before.gang != after.gang ||
         before.pod_attempts != after.pod_attempts || before.server_attempts != after.server_attempts ||
         before.start_time != after.start_time || before.completion_time != after.completion_time ||
         before.last_restart_time != after.last_restart_time ||
         member(before.progress, "warnings") != member(after.progress, "warnings");
}

}  // namespace

void Pass::condition(const char* type, bool status, const std::string& reason, const std::string& message) {
  api::set_condition(after.conditions,
                     {.type = type,
                      .status = status,
                      .observed_generation = meta.generation,
                      .last_transition = {},
                      .reason = reason,
                      .message = clip(message, kMessageMax)},
                     seen.now);
}

void Pass::observe_generation() {
  after.observed_generation = meta.generation;
  for (api::Condition& each : after.conditions) each.observed_generation = meta.generation;
}

bool Pass::is_due(WallTime when) {
  if (seen.now >= when) return true;
  again_at(when);
  return false;
}

void Pass::again_at(WallTime when) {
  const auto wait = std::max(std::chrono::ceil<std::chrono::milliseconds>(when - seen.now), kRequeueMin);
  auto& requeue = decision.requeue_after;
  requeue = requeue.count() == 0 ? wait : std::min(requeue, wait);
}

Decision land(Pass&& pass) {
  const Json patch = api::merge_patch(api::to_json(pass.before), api::to_json(pass.after));
  bool write = !patch.empty();
  if (write && !is_urgent(pass.before, pass.after) && pass.seen.last_status_write &&
      *pass.seen.last_status_write <= pass.seen.now &&
      pass.seen.now < *pass.seen.last_status_write + kProgressPeriod) {
    pass.again_at(*pass.seen.last_status_write + kProgressPeriod);
    write = false;
  }
  if (write) {
    Json body{{"status", patch}};
    if (!pass.meta.resource_version.empty())
      body["metadata"] = {{"resourceVersion", pass.meta.resource_version}};
    pass.act(PatchStatus{std::move(body)});
  }
  for (EmitEvent& event : pass.events) pass.act(std::move(event));
  return std::move(pass.decision);
}

}  // namespace muster::op
