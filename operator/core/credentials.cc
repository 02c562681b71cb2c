// operator/core/credentials.cc: which Secrets hold the keys of an object's pods, and when they are made
#include "operator/core/credentials.h"

#include <fmt/format.h>

#include <algorithm>

#include "operator/core/failure_policy.h"
#include "operator/core/followers.h"
#include "operator/core/pod_plan.h"

namespace muster::op {
namespace {

constexpr const char* kRejected = "CredentialsRejected";
constexpr std::size_t kUidDigits = 8;
constexpr auto kRenewAfter = std::chrono::minutes(1);

CreateCredentials credentials_of_block(const Pass& pass, const std::string& role, std::int64_t block) {
  const std::int64_t first = block * kCredentialsBlock;
  return {.manifest = credentials_manifest(pass.meta, pass.kind,
                                           credentials_name(pass.meta, pass.seen.ca, role, first)),
          .role = role,
          .first = first,
          .count = kCredentialsBlock};
}

}  // namespace

std::string credentials_name(const api::ObjectMeta& owner, const std::string& ca, const std::string& role,
                             std::int64_t index) {
  return fmt::format("{}-{}-{}-{}-{}", owner.name, owner.uid.substr(0, kUidDigits), ca, role,
                     index / kCredentialsBlock);
}

std::string token_name(const api::ObjectMeta& owner, const std::string& ca) {
  return fmt::format("{}-{}-{}-progress", owner.name, owner.uid.substr(0, kUidDigits), ca);
}

void make_token(Pass& pass) {
  const std::string name = token_name(pass.meta, pass.seen.ca);
  const bool made = std::any_of(pass.seen.pods.begin(), pass.seen.pods.end(),
                                [&](const Pod& pod) { return pod.token_ca == pass.seen.ca; });
  if (made || pass.seen.credentials.contains(name)) return;
  pass.act(CreateCredentials{
      .manifest = credentials_manifest(pass.meta, pass.kind, name), .role = {}, .token = true});
}

CredentialsBlocks::CredentialsBlocks(Pass& pass, std::string role) : pass_(pass), role_(std::move(role)) {
  for (const Pod& pod : pass_.seen.pods)
    if (pod.role == role_ && pod.index >= 0 && pod.ca == pass_.seen.ca)
      made_.insert(pod.index / kCredentialsBlock);
}

void CredentialsBlocks::before_pod(std::int64_t index) {
  const std::int64_t block = index / kCredentialsBlock;
  if (!made_.insert(block).second) return;
  if (pass_.seen.credentials.contains(credentials_name(pass_.meta, pass_.seen.ca, role_, index))) return;
  pass_.act(credentials_of_block(pass_, role_, block));
}

void renew_credentials(Pass& pass, const std::vector<const Pod*>& pods) {
  if (pass.seen.obstacle) return;
  std::set<std::string> looked_at;
  for (const Pod* pod : pods) {
    const bool waits =
        pod->phase == PodPhase::kPending && !pod->node.empty() && pod->ip.empty() && pod->created;
    const bool rejected = pass.seen.rejections.contains(pod->uid);
    if ((!waits && !rejected) || pod->deletion || pod->ca != pass.seen.ca) continue;
    const std::string name = credentials_name(pass.meta, pass.seen.ca, pod->role, pod->index);
    if (!looked_at.insert(name).second) continue;
    const auto made = pass.seen.credentials.find(name);
    WallTime due = rejected ? WallTime{} : *pod->created + kRenewAfter;
    if (made != pass.seen.credentials.end()) due = std::max(due, made->second + kRenewAfter);
    if (!pass.is_due(due)) continue;
    pass.act(credentials_of_block(pass, pod->role, pod->index / kCredentialsBlock));
  }
}

bool has_other_authority(const Observed& seen, const Pod& pod) {
  return fate_of(pod) == PodFate::kAlive && pod.ca != seen.ca;
}

std::string other_authority(const Pass& pass, const Pod& pod) {
  return fmt::format("{} has keys of authority {}, the operator's is {}: its Secret was lost or renewed",
                     pod.name, pod.ca.empty() ? "(none)" : pod.ca, pass.seen.ca);
}

void tell_rejections(Pass& pass, const std::vector<const Pod*>& pods) {
  std::int64_t rejected = 0;
  std::string first;
  for (const Pod* pod : pods) {
    const auto found = pass.seen.rejections.find(pod->uid);
    if (fate_of(*pod) != PodFate::kAlive || found == pass.seen.rejections.end()) continue;
    if (rejected++ > 0) continue;
    first = fmt::format(
        "{}: {}. Its keys come from Secret {}/{}; if somebody else made that, delete it and the pod, and see "
        "who "
        "may create Secrets in the namespace",
        pod->name, found->second, pass.meta.ns,
        credentials_name(pass.meta, pass.seen.ca, pod->role, pod->index));
  }
  if (rejected > 0) {
    const std::string others = rejected > 1 ? fmt::format(" ({} pods in all)", rejected) : "";
    if (!api::is_true(pass.before.conditions, kRejected)) pass.event("Warning", kRejected, first + others);
    pass.condition(kRejected, true, "AuthenticationFailed", first + others);
  } else if (api::is_true(pass.after.conditions, kRejected) && all_have_told(pass, false)) {
    pass.condition(kRejected, false, "Accepted", "pods and operator take each other for what they are");
  }
}

}  // namespace muster::op
