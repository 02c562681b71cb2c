// operator/core/client_pods.cc: the client pods of a FederatedRound: each is replaced alone, without counting
#include "operator/core/client_pods.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "operator/core/credentials.h"
#include "operator/core/failure_policy.h"
#include "operator/core/lifecycle.h"
#include "operator/core/pod_plan.h"

namespace muster::op {
namespace {

constexpr std::int64_t kBackoffFirstSeconds = 10;
constexpr std::int64_t kBackoffMaxSeconds = 300;

const api::ClientAttempt* attempt_of(const api::JobStatus& status, std::int64_t index) {
  for (const api::ClientAttempt& attempt : status.client_attempts)
    if (attempt.index == index) return &attempt;
  return nullptr;
}

std::int64_t attempts(const api::JobStatus& status, std::int64_t index) {
  const api::ClientAttempt* found = attempt_of(status, index);
  return found == nullptr ? 0 : found->attempt;
}

void count_attempt(Pass& pass, std::int64_t index) {
  auto& list = pass.after.client_attempts;
  const WallTime now = std::chrono::floor<std::chrono::seconds>(pass.seen.now);
  const auto at = std::lower_bound(
      list.begin(), list.end(), index,
      [](const api::ClientAttempt& entry, std::int64_t wanted) { return entry.index < wanted; });
  if (at == list.end() || at->index != index) {
    list.insert(at, {.index = index, .attempt = 1, .failed_at = now});
  } else {
    at->attempt += 1;
    at->failed_at = now;
  }
}

WallTime not_before(const api::ClientAttempt& attempt) {
  if (attempt.attempt < 2) return attempt.failed_at;
  const std::int64_t doublings = std::min<std::int64_t>(attempt.attempt - 2, 10);
  return attempt.failed_at +
         std::chrono::seconds(std::min(kBackoffMaxSeconds, kBackoffFirstSeconds << doublings));
}

// Judged before, or terminating: its replacement is under way.
bool is_outdated(const api::JobStatus& status, const Pod& pod) {
  return pod.deletion || pod.attempt < attempts(status, pod.index);
}

}  // namespace

bool judge_clients(Pass& pass, const Incarnation& clients) {
  std::int64_t lost = 0;
  std::string first;
  for (const Pod* pod : clients.current) {
    if (is_outdated(pass.before, *pod)) continue;
    if (pod->phase != PodPhase::kFailed && !has_other_authority(pass.seen, *pod)) continue;
    if (cannot_work(*pod)) {
      fail(pass, "PodFailedPermanently", with_note(end_of(*pod), "a restart would not help"));
      return true;
    }
    count_attempt(pass, pod->index);
    if (lost++ == 0) first = pod->phase == PodPhase::kFailed ? end_of(*pod) : other_authority(pass, *pod);
  }
  if (lost > 0)
    pass.event("Normal", "ClientsReplaced", fmt::format("replacing {} client pods; {}", lost, first));
  return lost > 0;
}

void remove_outdated_clients(Pass& pass, const Incarnation& clients) {
  for (const Pod* pod : clients.older) remove_pod(pass, *pod);
  for (const Pod* pod : clients.current)
    if (is_outdated(pass.before, *pod)) remove_pod(pass, *pod);
}

Json client_manifest(const Pass& pass, const api::FederatedRoundSpec& spec, std::int64_t index) {
  return pod_manifest({.owner = pass.meta,
                       .kind = pass.kind,
                       .role = "client",
                       .index = index,
                       .incarnation = pass.after.incarnation,
                       .attempt = attempts(pass.before, index),
                       .world_size = 0,
                       .pod_template = spec.client_template,
                       .image_is_ours = true,
                       .default_image = pass.seen.defaults.device_image,
                       .ca = pass.seen.ca});
}

void create_clients(Pass& pass, const api::FederatedRoundSpec& spec, const Incarnation& clients) {
  std::set<std::int64_t> present;
  for (const Pod* pod : clients.current) present.insert(pod->index);
  for (const Pod* pod : clients.older) present.insert(pod->index);  // its name is taken until it is gone
  std::int64_t created = 0;
  CredentialsBlocks keys(pass, "client");
  for (std::int64_t index = 0; index < spec.client_pods(); ++index) {
    if (present.contains(index)) continue;
    const api::ClientAttempt* attempt = attempt_of(pass.before, index);
    if (attempt != nullptr && pass.seen.now < not_before(*attempt)) {
      pass.again_at(not_before(*attempt));
      continue;
    }
    ++created;
    keys.before_pod(index);
    pass.act(CreatePod{.manifest = client_manifest(pass, spec, index),
                       .part = kClientTemplate,
                       .strict = pass.before.formed_incarnation == 0});
  }
  if (created > 0) pass.event("Normal", "PodsCreated", fmt::format("created {} client pods", created));
}

}  // namespace muster::op
