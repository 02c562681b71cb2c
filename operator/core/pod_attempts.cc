// operator/core/pod_attempts.cc: pods that are replaced alone, within their incarnation
#include "operator/core/pod_attempts.h"

#include <fmt/format.h>

#include <algorithm>

#include "operator/core/servers.h"

namespace muster::op {
namespace {

constexpr std::int64_t kBackoffFirstSeconds = 10;
constexpr std::int64_t kBackoffMaxSeconds = 300;
// A pod that has lived so long begins anew: on nodes that are taken back every hour none waits for the next.
constexpr auto kRowEnds = std::chrono::minutes(20);

// Failures that have one cause, such as an error in all workers' common step, are told within this time of
// each other, and count once.
constexpr auto kOneCause = std::chrono::seconds(10);

template <typename Status>
auto& list_of(Status& status, const std::string& role) {
  return role == kServerRole ? status.server_attempts : status.pod_attempts;
}

const api::PodAttempt* attempt_of(const api::JobStatus& status, const std::string& role, std::int64_t index) {
  for (const api::PodAttempt& attempt : list_of(status, role))
    if (attempt.index == index) return &attempt;
  return nullptr;
}

WallTime not_before(const api::PodAttempt& attempt) {
  if (attempt.in_a_row < 2) return attempt.failed_at;
  const std::int64_t doublings = std::min<std::int64_t>(attempt.in_a_row - 2, 10);
  return attempt.failed_at +
         std::chrono::seconds(std::min(kBackoffMaxSeconds, kBackoffFirstSeconds << doublings));
}

}  // namespace

std::int64_t attempts(const api::JobStatus& status, const std::string& role, std::int64_t index) {
  const api::PodAttempt* found = attempt_of(status, role, index);
  return found == nullptr ? 0 : found->attempt;
}

bool has_been_counted(const Pass& pass, const Pod& pod) {
  const api::JobStatus& status = pass.after;
  if (!status.last_failure_time || pass.seen.now >= *status.last_failure_time + kOneCause) return false;
  const api::PodAttempt* attempt = attempt_of(status, pod.role, pod.index);
  return attempt == nullptr || attempt->failed_at < *status.last_failure_time;
}

std::int64_t count_attempt(Pass& pass, const Pod& pod, bool failed) {
  auto& list = list_of(pass.after, pod.role);
  auto at = std::lower_bound(
      list.begin(), list.end(), pod.index,
      [](const api::PodAttempt& entry, std::int64_t wanted) { return entry.index < wanted; });
  if (at == list.end() || at->index != pod.index) at = list.insert(at, {.index = pod.index, .failed_at = {}});
  const bool again = pass.seen.now < at->failed_at + kRowEnds;
  at->attempt += 1;
  at->in_a_row = again ? at->in_a_row + 1 : 1;
  if (failed) at->failures += 1;
  at->failed_at = std::chrono::floor<std::chrono::seconds>(pass.seen.now);
  return at->failures;
}

bool is_held_back(Pass& pass, const std::string& role, std::int64_t index) {
  const api::PodAttempt* attempt = attempt_of(pass.before, role, index);
  return attempt != nullptr && !pass.is_due(not_before(*attempt));
}

bool replace_waiting(Pass& pass, const std::vector<const Pod*>& pods) {
  int replaced = 0;
  std::string first;
  for (const Pod* pod : pods) {
    if (is_replaced(pass.before, *pod) || !avoids_in_vain(*pod, pass.seen.bad_nodes)) continue;
    count_attempt(pass, *pod, false);
    if (++replaced == 1) first = pod->name;
  }
  if (replaced == 0) return false;
  pass.event("Normal", "PodsReplaced",
             fmt::format("{} {} for a node and may not go to one that is well again, or gone: made anew",
                         replaced == 1 ? first : fmt::format("{} and {} other pods", first, replaced - 1),
                         replaced == 1 ? "waits" : "wait"));
  return true;
}

bool is_replaced(const api::JobStatus& status, const Pod& pod) {
  return pod.attempt < attempts(status, pod.role, pod.index);
}

}  // namespace muster::op
