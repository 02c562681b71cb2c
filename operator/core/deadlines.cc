// operator/core/deadlines.cc: pods that do not come to run, and training that stands still
#include "operator/core/deadlines.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/json/access.h"
#include "operator/core/lifecycle.h"

namespace muster::op {
namespace {

constexpr const char* kRunning = "Running";

// Since when condition Running is as it is, at the earliest the start or the last resumption.
WallTime since(const Pass& pass, const api::Condition* running) {
  WallTime from = pass.after.start_time.value_or(pass.seen.now);
  if (running != nullptr) from = std::max(from, running->last_transition);
  return from;
}

}  // namespace

void note_progress(Pass& pass, std::initializer_list<const char*> figures) {
  const bool moved = std::any_of(figures.begin(), figures.end(), [&pass](const char* name) {
    return member(pass.before.progress, name) != member(pass.after.progress, name);
  });
  if (moved) pass.after.last_progress_time = std::chrono::floor<std::chrono::seconds>(pass.seen.now);
}

std::optional<std::string> standstill_of(Pass& pass, const spec::RunPolicy& policy, bool told,
                                         const std::string& what) {
  if (!policy.progress_deadline_seconds || !told || !api::is_true(pass.before.conditions, kRunning))
    return std::nullopt;
  const std::int64_t seconds = *policy.progress_deadline_seconds;
  WallTime from = since(pass, api::find_condition(pass.before.conditions, kRunning));
  if (pass.after.last_progress_time) from = std::max(from, *pass.after.last_progress_time);
  if (!pass.is_due(from + std::chrono::seconds(seconds))) return std::nullopt;
  return fmt::format("the pods run, but for {} s (runPolicy.progressDeadlineSeconds) no {}", seconds, what);
}

bool stands_still(Pass& pass, const spec::RunPolicy& policy, bool told, const std::string& what) {
  const auto words = standstill_of(pass, policy, told, what);
  if (words) restart(pass, Cause::kFailure, *words, policy.max_restarts);
  return words.has_value();
}

std::string made(const Pass& pass, const char* figure) {
  return fmt::format("{} was made after {}", figure, integer(member(pass.after.progress, figure)));
}

void judge_pending(Pass& pass, const spec::RunPolicy& policy) {
  if (!policy.pending_deadline_seconds || pass.after.finished()) return;
  const api::Condition* running = api::find_condition(pass.after.conditions, kRunning);
  if (running != nullptr && running->status) return;
  const std::int64_t seconds = *policy.pending_deadline_seconds;
  if (!pass.is_due(since(pass, running) + std::chrono::seconds(seconds))) return;
  const api::Condition* pods = api::find_condition(pass.after.conditions, "PodsReady");
  fail(pass, "PendingDeadlineExceeded",
       fmt::format("not all pods ran within runPolicy.pendingDeadlineSeconds ({} s){}", seconds,
                   pods == nullptr || pods->message.empty() ? "" : ": " + pods->message));
}

}  // namespace muster::op
