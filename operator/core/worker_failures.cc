// operator/core/worker_failures.cc: what the ends of workers mean for their DistributedJob
#include "operator/core/worker_failures.h"

#include <fmt/format.h>

#include <algorithm>

#include "operator/core/credentials.h"
#include "operator/core/failure_policy.h"
#include "operator/core/failure_rules.h"
#include "operator/core/incarnation.h"
#include "operator/core/lifecycle.h"
#include "operator/core/pod_attempts.h"

namespace muster::op {
namespace {

// For the cause of a lost peer to show, from when its peers' ends were seen: a kubelet tells of the end of a
// pod within a second or two.
constexpr auto kCausePatience = std::chrono::seconds(15);
// Then its node is asked for. A kubelet that comes back within this time tells of an exit code; of one that
// does not, the node lifecycle controller tells after 40 to 50 s.
constexpr auto kNodePatience = std::chrono::seconds(60);
constexpr auto kNodeLook = std::chrono::seconds(5);

// Of those with `fate`, the first to end; what lost a peer comes last, as the cause is another.
const Pod* first_of(const std::vector<const Pod*>& pods, PodFate fate, bool ours) {
  const Pod* first = nullptr;
  const auto key = [ours](const Pod& pod) {
    return std::pair(ours && lost_a_peer(pod), pod.ended.value_or(WallTime::max()));
  };
  for (const Pod* pod : pods) {
    if (fate_of(*pod) == fate && (first == nullptr || key(*pod) < key(*first))) first = pod;
  }
  return first;
}

template <typename Predicate>
const Pod* find_pod(const std::vector<const Pod*>& pods, Predicate wanted) {
  const auto found = std::find_if(pods.begin(), pods.end(), [&](const Pod* pod) { return wanted(*pod); });
  return found == pods.end() ? nullptr : *found;
}

bool is_alive(const Pod& pod) { return fate_of(pod) == PodFate::kAlive; }

// It has answered, and does not any more.
bool may_be_lost(const Observed& seen, const Pod& pod) {
  const auto contact = seen.contacts.find(pod.uid);
  return (pod.role == "worker" || pod.role == "server" || pod.role == "aggregator") && is_alive(pod) &&
         seen.agents.contains(pod.uid) && contact != seen.contacts.end() && !contact->second.answers &&
         seen.now >= contact->second.since + kCausePatience;
}

bool is_struck(const Pod& pod) { return pod.on_bad_node && fate_of(pod) == PodFate::kDisrupted; }

// A machine that stands still is no fault of the program, a program that hangs is.
void restart_standstill(Pass& pass, const StillPod& still, const Pod& told_by, std::int64_t restarts_max) {
  const Pod& pod = *still.pod;
  restart(pass, still.hung ? Cause::kFailure : Cause::kDisruption,
          fmt::format("{} {} stands still ({}{}); {}", pod.role, pod.index, pod.name,
                      pod.node.empty() ? "" : " on " + pod.node, end_of(told_by)),
          restarts_max);
}

// Every worker that has ended so far waited for another in vain. True when the pass is over.
bool judge_lost_peers(Pass& pass, const std::vector<const Pod*>& workers, const Pod& first,
                      std::int64_t restarts_max) {
  // Without its address nobody was told of any peer, so the wait that ran out was the one for an assignment.
  if (const Pod* late = find_pod(workers, [](const Pod& pod) { return pod.phase == PodPhase::kPending; })) {
    restart(pass, Cause::kDisruption,
            fmt::format("{} has not started{}, and those that have gave up waiting for it", late->name,
                        late->reason.empty() ? "" : " (" + late->reason + ")"),
            0);
    return true;
  }
  if (const auto still = standing_still(workers); !still.empty()) {
    restart_standstill(pass, still.front(), first, restarts_max);
    return true;
  }
  const Pod* silent = find_pod(workers, is_alive);
  if (silent == nullptr) {
    restart(pass, Cause::kFailure, end_of(first), restarts_max);
    return true;
  }
  const auto on_lost_node = [&](const Pod& pod) {
    return is_alive(pod) && pass.seen.lost_nodes.contains(pod.node);
  };
  if (const Pod* lost = find_pod(workers, on_lost_node)) {
    restart(pass, Cause::kDisruption,
            fmt::format("{} has not ended with its peers, as its node {} is out of reach; {}", lost->name,
                        lost->node, end_of(first)),
            0);
    return true;
  }
  const WallTime sighted = first.sighted.value_or(pass.seen.now);
  if (pass.seen.now < sighted + kNodePatience) {
    pass.again_at(
        std::min(std::max(sighted + kCausePatience, pass.seen.now + kNodeLook), sighted + kNodePatience));
    return false;
  }
  restart(pass, Cause::kDisruption,
          fmt::format("{} has not ended with its peers, and nothing is told of it or of its node{}; {}",
                      silent->name, silent->node.empty() ? "" : " " + silent->node, end_of(first)),
          0);
  return true;
}

// Workers that start anew alone and have no pod yet.
std::int64_t awaited(const Pass& pass, const std::vector<const Pod*>& workers) {
  const auto& replaced = pass.before.pod_attempts;
  return std::count_if(replaced.begin(), replaced.end(), [&](const api::PodAttempt& attempt) {
    return !is_done(pass.after, attempt.index) &&
           find_pod(workers, [&](const Pod& pod) { return pod.index == attempt.index; }) == nullptr;
  });
}

// The worker alone starts anew. True when that was once too often.
bool restart_pod(Pass& pass, const Pod& pod, const std::string& words, std::int64_t restarts_max) {
  if (pass.after.restarts >= restarts_max) {
    restart(pass, Cause::kFailure, words, restarts_max);
    return true;
  }
  count_attempt(pass, pod, true);
  pass.after.restarts += 1;
  pass.event("Warning", "PodRestarting",
             with_note(words, fmt::format("restart {} of {}", pass.after.restarts, restarts_max)));
  return false;
}

// By runPolicy.failurePolicy: FailJob of any pod decides, then RestartJob, then Ignore where no other failure
// counts. A worker that only lost a peer is judged by its cause. True when the pass is over.
bool judge_by_rules(Pass& pass, const spec::RunPolicy& policy, const std::vector<const Pod*>& workers,
                    bool ours) {
  std::vector<std::pair<const Pod*, RuleMatch>> matches;
  bool unruled = false;
  for (const Pod* pod : workers) {
    if (ours && lost_a_peer(*pod)) continue;
    if (const RuleMatch match = rule_for(policy.failure_rules, *pod)) {
      matches.emplace_back(pod, match);
    } else {
      unruled = unruled || fate_of(*pod) == PodFate::kFailed;
    }
  }
  using Action = spec::FailureAction;
  for (const Action action : {Action::kFailJob, Action::kRestartJob, Action::kRestartPod, Action::kIgnore}) {
    for (const auto& [pod, match] : matches) {
      if (match.rule->action != action) continue;
      if (unruled && action != Action::kFailJob) return false;  // that one restarts the job, and counts
      if (action != Action::kRestartPod) {
        obey(pass, match, *pod, policy.max_restarts);
        return true;
      }
      if (restart_pod(pass, *pod, words_on(match, *pod), policy.max_restarts)) return true;
    }
  }
  return std::any_of(matches.begin(), matches.end(),
                     [](const auto& match) { return match.second.rule->action == Action::kRestartPod; });
}

}  // namespace

bool judge_workers(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& workers) {
  const bool ours = spec.training.has_value();
  if (judge_by_rules(pass, spec.run_policy, workers, ours)) return true;
  const auto& rules = spec.run_policy.failure_rules;
  if (const Pod* stuck = find_pod(
          workers, [&](const Pod& pod) { return ours && cannot_work(pod) && !rule_for(rules, pod); })) {
    fail(pass, "PodFailedPermanently", with_note(end_of(*stuck), "a restart would not help"));
    return true;
  }
  const std::int64_t replicas = spec.workers.replicas;
  const Pod* failed = first_of(workers, PodFate::kFailed, ours);
  const Pod* disrupted = first_of(workers, PodFate::kDisrupted, ours);
  const Pod* struck = find_pod(workers, is_struck);
  const Pod* resized = find_pod(
      workers, [replicas](const Pod& pod) { return pod.world_size != 0 && pod.world_size != replicas; });
  const Pod* stranger =
      find_pod(workers, [&](const Pod& pod) { return ours && has_other_authority(pass.seen, pod); });
  const std::int64_t known =
      std::ssize(workers) + done_and_gone(pass.after, workers) + awaited(pass, workers);
  const bool formed = pass.before.formed_incarnation == pass.after.incarnation;
  const bool cause_elsewhere = ours && failed != nullptr && lost_a_peer(*failed);
  if (struck != nullptr) {  // what a broken node did to one, has ended the others
    restart(pass, Cause::kDisruption, end_of(*struck), 0);
  } else if (failed != nullptr && !cause_elsewhere) {
    restart(pass, Cause::kFailure, end_of(*failed), spec.run_policy.max_restarts);
  } else if (disrupted != nullptr) {
    restart(pass, Cause::kDisruption, end_of(*disrupted), 0);
  } else if (stranger != nullptr) {
    restart(pass, Cause::kDisruption, other_authority(pass, *stranger), 0);
  } else if (resized != nullptr) {
    restart(pass, Cause::kScale, fmt::format("from {} to {} workers", resized->world_size, replicas), 0);
  } else if (formed && known < replicas) {
    restart(pass, Cause::kDisruption, fmt::format("{} of {} workers are gone", replicas - known, replicas),
            0);
  } else if (cause_elsewhere) {
    return judge_lost_peers(pass, workers, *failed, spec.run_policy.max_restarts);
  } else {
    return false;
  }
  return true;
}

std::set<std::string> nodes_in_question(const Observed& seen) {
  std::set<std::string> nodes;
  std::set<std::int64_t> incarnations;  // whose workers have waited for a cause
  for (const Pod& pod : seen.pods) {
    if (overdue(pod, seen.now) || may_be_lost(seen, pod)) nodes.insert(pod.node);
    if (pod.role == "worker" && lost_a_peer(pod) && pod.sighted && seen.now >= *pod.sighted + kCausePatience)
      incarnations.insert(pod.incarnation);
  }
  for (const std::int64_t incarnation : incarnations) {
    const auto silent = std::ranges::find_if(
        seen.pods, [&](const Pod& pod) { return pod.incarnation == incarnation && is_alive(pod); });
    if (silent != seen.pods.end()) nodes.insert(silent->node);
  }
  nodes.erase("");
  return nodes;
}

}  // namespace muster::op
