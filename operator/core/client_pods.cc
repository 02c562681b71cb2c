// operator/core/client_pods.cc: the client pods of a FederatedRound: each is replaced alone, without counting
#include "operator/core/client_pods.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/spec/pod_templates.h"

#include "operator/core/credentials.h"
#include "operator/core/failure_policy.h"
#include "operator/core/failure_rules.h"
#include "operator/core/kueue.h"
#include "operator/core/lifecycle.h"
#include "operator/core/pod_attempts.h"
#include "operator/core/pod_plan.h"
#include "operator/core/progress.h"

namespace muster::op {
namespace {

constexpr const char* kClientsAway = "ClientsAway";

// Judged before, or terminating: its replacement is under way.
bool is_outdated(const api::JobStatus& status, const Pod& pod) {
  return pod.deletion || is_replaced(status, pod);
}

bool is_disrupted(const Pod& pod) { return fate_of(pod) == PodFate::kDisrupted; }

// How many clients the pod plays; none when its label is no index of this federation's pods.
std::int64_t clients_of(const api::FederatedRoundSpec& spec, std::int64_t index) {
  if (index < 0 || index >= spec.client_pods()) return 0;
  const auto& federation = spec.federation;
  return std::min(federation.clients_per_pod, federation.clients - index * federation.clients_per_pod);
}

// How many clients are left without these pods.
std::int64_t clients_without(const api::FederatedRoundSpec& spec, const std::set<std::int64_t>& pods) {
  std::int64_t left = spec.federation.clients;
  for (const std::int64_t index : pods) left -= clients_of(spec, index);
  return left;
}

std::set<std::int64_t> indexes_of(const std::vector<const Pod*>& pods) {
  std::set<std::int64_t> indexes;
  for (const Pod* pod : pods) indexes.insert(pod->index);
  return indexes;
}

// A pod that ended with 0 although no training has ended in it: in which words. The others can do without it,
// as without one that cannot work: one program that ends too soon is not the end of the federation.
std::optional<std::string> claim_of(const Pass& pass, const api::FederatedRoundSpec& spec, const Pod& pod) {
  if (fate_of(pod) != PodFate::kSucceeded) return std::nullopt;
  return success_without_evidence(
      pass, {&pod},
      spec.federation.training.program
          ? "a program is done when muster.serve returns (MUSTER_END in C); let it go on until then"
          : kNotOurs + " in spec.clients.template");
}

// Judges the pods that have ended for good, in order of index. True when too few clients are left: the
// federation has failed.
bool judge_away(Pass& pass, const api::FederatedRoundSpec& spec, const std::vector<const Pod*>& away) {
  if (away.empty()) {
    if (api::is_true(pass.before.conditions, kClientsAway))
      pass.condition(kClientsAway, false, "ClientsBack", "no client pod has ended for good");
    return false;
  }
  const std::int64_t left = clients_without(spec, indexes_of(away));
  const std::optional<std::string> claim = claim_of(pass, spec, *away.front());
  const std::string reason = claim ? "SuccessWithoutTraining" : "PodFailedPermanently";
  const std::string end = claim ? *claim : end_of(*away.front());
  const std::string more = away.size() > 1 ? fmt::format(" (and {} more ended so)", away.size() - 1) : "";
  const std::string useless = fmt::format("a restart would not help{}", more);
  const std::string counted = fmt::format("{} of {} clients are left", left, spec.federation.clients);
  const std::int64_t minimum = spec.federation.cohort.minimum;
  if (left < minimum) {
    fail(pass, reason,
         with_note(end, left <= 0 ? useless
                                  : fmt::format("{}, and {}, fewer than cohort.minimum {}", useless, counted,
                                                minimum)));
    return true;
  }
  pass.condition(kClientsAway, true, reason,
                 with_note(end, fmt::format("{}: delete its pod to try again; {}", useless, counted)));
  const api::Condition* told = api::find_condition(pass.before.conditions, kClientsAway);
  const std::string& message = api::find_condition(pass.after.conditions, kClientsAway)->message;
  if (told == nullptr || !told->status || told->message != message)
    pass.event("Warning", kClientsAway, message);
  return false;
}

// `pod` has failed once more. One that has failed more than maxRestarts times, with no round committed
// meanwhile, is tried again, but not counted on. True when too few clients are left that are: the federation
// has failed.
bool judge_failures(Pass& pass, const api::FederatedRoundSpec& spec, const std::vector<const Pod*>& away,
                    const Pod& pod, std::int64_t failures) {
  const std::int64_t failures_max = spec.run_policy.max_restarts;
  if (failures <= failures_max) return false;
  std::set<std::int64_t> out = indexes_of(away);
  for (const api::PodAttempt& attempt : pass.after.pod_attempts)
    if (attempt.failures > failures_max) out.insert(attempt.index);
  const std::int64_t left = clients_without(spec, out);
  if (left >= spec.federation.cohort.minimum) return false;
  fail(pass, "MaxRestartsExceeded",
       with_note(end_of(pod),
                 fmt::format("it failed {} times with no round committed meanwhile, runPolicy.maxRestarts is "
                             "{}; {} of {} clients are left, fewer than cohort.minimum {}",
                             failures, failures_max, left, spec.federation.clients,
                             spec.federation.cohort.minimum)));
  return true;
}

// True when a rule ended the federation, or lets all of it start anew.
bool judge_by_rules(Pass& pass, const spec::RunPolicy& policy, const std::vector<const Pod*>& lost) {
  for (const Pod* pod : lost) {
    const RuleMatch match = rule_for(policy.failure_rules, *pod);
    const bool of_all = match && (match.rule->action == spec::FailureAction::kFailJob ||
                                  match.rule->action == spec::FailureAction::kRestartJob);
    if (!of_all) continue;
    obey(pass, match, *pod, policy.max_restarts);
    return true;
  }
  return false;
}

bool is_ignored(const spec::RunPolicy& policy, const Pod& pod) {
  const RuleMatch match = rule_for(policy.failure_rules, pod);
  return match && match.rule->action == spec::FailureAction::kIgnore;
}

}  // namespace

bool judge_clients(Pass& pass, const api::FederatedRoundSpec& spec, const Incarnation& clients) {
  std::vector<const Pod*> away, lost;
  for (const Pod* pod : clients.current) {
    if (is_outdated(pass.before, *pod)) continue;
    if (claim_of(pass, spec, *pod)) {
      away.push_back(pod);
      continue;
    }
    if (pod->phase != PodPhase::kFailed && !is_disrupted(*pod) && !has_other_authority(pass.seen, *pod))
      continue;
    const bool for_good = cannot_work(*pod) && !rule_for(spec.run_policy.failure_rules, *pod);
    (for_good ? away : lost).push_back(pod);
  }
  if (judge_away(pass, spec, away) || judge_by_rules(pass, spec.run_policy, lost)) return true;
  bool failed = false;
  for (const Pod* pod : lost) {
    const bool counts = fate_of(*pod) == PodFate::kFailed && !is_ignored(spec.run_policy, *pod);
    failed = failed || counts;
    const std::int64_t failures = count_attempt(pass, *pod, counts);
    if (judge_failures(pass, spec, away, *pod, failures)) return true;
  }
  if (lost.empty()) return false;
  const Pod& first = *lost.front();
  pass.event(
      failed ? "Warning" : "Normal", "ClientsReplaced",
      fmt::format("replacing {} client pods; {}", lost.size(),
                  first.phase == PodPhase::kFailed || is_disrupted(first) ? end_of(first)
                                                                          : other_authority(pass, first)));
  return true;
}

void forget_failures(Pass& pass) {
  for (api::PodAttempt& attempt : pass.after.pod_attempts) attempt.failures = 0;
}

void remove_outdated_clients(Pass& pass, const Incarnation& clients) {
  for (const Pod* pod : clients.older) remove_pod(pass, *pod);
  for (const Pod* pod : clients.current)
    if (is_outdated(pass.before, *pod)) remove_pod(pass, *pod);
}

Json client_manifest(const Pass& pass, const api::FederatedRoundSpec& spec, const RoundImages& images,
                     std::int64_t index) {
  const auto& program = spec.federation.training.program;
  return pod_manifest({.owner = pass.meta,
                       .kind = pass.kind,
                       .role = "client",
                       .index = index,
                       .incarnation = pass.after.incarnation,
                       .attempt = attempts(pass.before, "client", index),
                       .world_size = 0,
                       .pod_template = spec.client_template,
                       .image_is_ours = true,
                       .beside_program = program.has_value(),
                       .sidecar_resources = program ? program->resources : Json(),
                       .default_image = images.client,
                       .peer_image = images.aggregator,
                       .ca = pass.seen.ca});
}

void create_clients(Pass& pass, const api::FederatedRoundSpec& spec, const RoundImages& images,
                    const Incarnation& clients) {
  std::set<std::int64_t> present;
  for (const Pod* pod : clients.current) present.insert(pod->index);
  for (const Pod* pod : clients.older) present.insert(pod->index);  // its name is taken until it is gone
  std::int64_t created = 0;
  CredentialsBlocks keys(pass, "client");
  for (std::int64_t index = 0; index < spec.client_pods(); ++index) {
    if (present.contains(index)) continue;
    if (is_held_back(pass, "client", index)) continue;
    ++created;
    keys.before_pod(index);
    create_pod(pass, "client", spec::kClientTemplate.path, client_manifest(pass, spec, images, index));
  }
  if (created > 0) pass.event("Normal", "PodsCreated", fmt::format("created {} client pods", created));
}

}  // namespace muster::op
