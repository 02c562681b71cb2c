// operator/core/worker_losses.cc: which workers of a training are lost, and why
#include "operator/core/worker_losses.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "common/pods/standstill.h"
#include "operator/core/failure_policy.h"
#include "operator/core/failure_rules.h"
#include "operator/core/followers.h"
#include "operator/core/lifecycle.h"
#include "operator/core/members.h"
#include "operator/core/pod_attempts.h"

namespace muster::op {
namespace {

using control::v1::AgentStatus;

// Of one that ended because it lost a peer: for the cause to show, which counts instead.
constexpr auto kCausePatience = std::chrono::seconds(15);
// Of one that does not answer, and nobody tells why.
constexpr auto kGivenUpAfter = std::chrono::seconds(60);

// Those that stand still by the words of a member which lost them; whoever was told of first is the one.
std::vector<Loss> standing_still(const Pass& pass, const std::vector<const Pod*>& live) {
  struct Report {
    WallTime at;
    const Pod* by;
    const Pod* on;
    Standstill said;
  };
  std::vector<Report> reports;
  for (const Pod* pod : live) {
    const AgentStatus* word = word_from(pass, *pod);
    if (word == nullptr || word->membership() != pass.before.membership) continue;
    const auto said = standstill_in(word->message());
    if (!said || said->rank < 0 || said->rank >= std::ssize(pass.before.roster)) continue;
    const Pod* on = find_pod(live, pass.before.roster[static_cast<std::size_t>(said->rank)].uid);
    const auto contact = pass.seen.contacts.find(pod->uid);
    if (on == nullptr) continue;
    reports.push_back(
        {contact == pass.seen.contacts.end() ? WallTime{} : contact->second.since, pod, on, *said});
  }
  std::ranges::stable_sort(reports, {}, &Report::at);
  std::vector<Loss> still;
  std::set<const Pod*> lost;
  for (const Report& report : reports) {
    if (lost.contains(report.by) || !lost.insert(report.on).second) continue;
    const Pod& pod = *report.on;
    still.push_back({.pod = &pod,
                     .words = fmt::format("worker {} stands still ({}{}), says {}", pod.index, pod.name,
                                          pod.node.empty() ? "" : " on " + pod.node, report.by->name),
                     .counts = report.said.hung});
  }
  return still;
}

bool is_ignored(const api::DistributedJobSpec& spec, const Pod& pod) {
  const RuleMatch match = rule_for(spec.run_policy.failure_rules, pod);
  return match && match.rule->action == spec::FailureAction::kIgnore;
}

std::string words_on_end(const api::DistributedJobSpec& spec, const Pod& pod) {
  const RuleMatch match = rule_for(spec.run_policy.failure_rules, pod);
  return match ? words_on(match, pod) : end_of(pod);
}

// Workers that have ended or are about to, each with whether that counts.
std::vector<Loss> ended(Pass& pass, const api::DistributedJobSpec& spec,
                        const std::vector<const Pod*>& workers) {
  std::vector<Loss> losses;
  const bool struck =
      std::ranges::any_of(workers, [](const Pod* pod) {  // what did that may have ended others
        return pod->on_bad_node && fate_of(*pod) == PodFate::kDisrupted;
      });
  for (const Pod* pod : workers) {
    const PodFate fate = fate_of(*pod);
    if (fate != PodFate::kFailed && fate != PodFate::kDisrupted) continue;
    const bool of_peer = lost_a_peer(*pod) && fate == PodFate::kFailed;
    if (of_peer && !pass.is_due(pod->sighted.value_or(pass.seen.now) + kCausePatience)) continue;
    losses.push_back({.pod = pod,
                      .words = words_on_end(spec, *pod),
                      .counts = fate == PodFate::kFailed && !of_peer && !struck && !is_ignored(spec, *pod)});
  }
  return losses;
}

// A pod that has answered, and does not any more. Of a member its peers tell, if it has any; it trains on if
// it is only the operator that does not reach it, so that of one without peers its node must tell.
std::optional<Loss> out_of_reach(Pass& pass, const Pod& pod) {
  const bool member = is_member(pass.before, pod);
  if (member && pass.before.roster.size() > 1) return std::nullopt;
  Loss loss{.pod = &pod, .words = {}};
  if (has_gone_silent_with_node(pass, pod)) {
    loss.words = fmt::format("{} does not answer, as its node {} is out of reach", pod.name, pod.node);
    return loss;
  }
  if (member || !has_gone_silent(pass, pod) ||
      !pass.is_due(pass.seen.contacts.at(pod.uid).since + kGivenUpAfter))
    return std::nullopt;
  loss.words = fmt::format("{} does not answer, and nothing is told of it or of its node{}", pod.name,
                           pod.node.empty() ? "" : " " + pod.node);
  return loss;
}

}  // namespace

std::vector<Loss> losses_of(Pass& pass, const api::DistributedJobSpec& spec,
                            const std::vector<const Pod*>& workers) {
  std::vector<Loss> losses = ended(pass, spec, workers);
  for (const Pod* pod : workers) {
    if (fate_of(*pod) != PodFate::kAlive) continue;
    if (auto loss = out_of_reach(pass, *pod)) losses.push_back(*std::move(loss));
  }
  std::vector<const Pod*> live;
  for (const Pod* pod : workers)
    if (fate_of(*pod) == PodFate::kAlive) live.push_back(pod);
  std::ranges::move(standing_still(pass, live), std::back_inserter(losses));
  return losses;
}

bool replace_alone(Pass& pass, const Loss& loss, std::int64_t restarts_max) {
  api::JobStatus& status = pass.after;
  if (loss.counts && !has_been_counted(pass, *loss.pod)) {
    if (status.restarts >= restarts_max) {
      restart(pass, Cause::kFailure, loss.words, restarts_max);  // once too often
      return true;
    }
    status.restarts += 1;
    status.last_failure_time = std::chrono::floor<std::chrono::seconds>(pass.seen.now);
  }
  if (!loss.counts) status.disruptions += 1;
  count_attempt(pass, *loss.pod, loss.counts);
  return false;
}

}  // namespace muster::op
