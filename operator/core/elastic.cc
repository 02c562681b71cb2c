// operator/core/elastic.cc: workers of a training come and go, and the others work on
#include "operator/core/elastic.h"

#include <fmt/format.h>

#include <algorithm>

#include "operator/core/failure_policy.h"
#include "operator/core/failure_rules.h"
#include "operator/core/incarnation.h"
#include "operator/core/lifecycle.h"
#include "operator/core/members.h"
#include "operator/core/membership.h"
#include "operator/core/pod_attempts.h"
#include "operator/core/servers.h"
#include "operator/core/worker_failures.h"
#include "operator/core/worker_losses.h"

namespace muster::op {
namespace {

using control::v1::AgentStatus;
using Turn = MembershipPlan::Turn;

constexpr const char* kAllTrain = "AllWorkersTrain";  // absent until a worker is lost

// What ends the job, or lets all begin anew, whoever is left. True when the pass is over.
bool judge_all(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& workers) {
  const auto& policy = spec.run_policy;
  for (const auto action : {spec::FailureAction::kFailJob, spec::FailureAction::kRestartJob}) {
    for (const Pod* pod : workers) {
      const RuleMatch match = lost_a_peer(*pod) ? RuleMatch{} : rule_for(policy.failure_rules, *pod);
      if (!match || match.rule->action != action) continue;
      obey(pass, match, *pod, policy.max_restarts);
      return true;
    }
  }
  for (const Pod* pod : workers) {
    if (!cannot_work(*pod) || rule_for(policy.failure_rules, *pod)) continue;
    fail(pass, "PodFailedPermanently", with_note(end_of(*pod), "a restart would not help"));
    return true;
  }
  return restart_for_authority(pass, workers);
}

// "worker 2", "workers 2 and 3", "workers 2, 3, 4 and 7 more".
std::string workers_named(const std::vector<std::int64_t>& indexes) {
  constexpr std::size_t kNamed = 3;
  std::string names;
  const std::size_t shown = indexes.size() <= kNamed + 1 ? indexes.size() : kNamed;
  for (std::size_t i = 0; i < shown; ++i) {
    const bool last = i > 0 && i + 1 == indexes.size();
    names += fmt::format("{}{}", i == 0 ? "" : last ? " and " : ", ", indexes[i]);
  }
  if (shown < indexes.size()) names += fmt::format(" and {} more", indexes.size() - shown);
  return fmt::format("worker{} {}", indexes.size() == 1 ? "" : "s", names);
}

std::string how_it_goes_on(const Pass& pass, const api::DistributedJobSpec& spec) {
  const std::int64_t left = std::ssize(pass.after.roster);
  const std::int64_t wanted = spec.workers.replicas;
  if (left == 0) return "its replacement is waited for";
  if (may_work(pass.after, spec)) return fmt::format("training goes on with {} of {} workers", left, wanted);
  return fmt::format("{} of {} workers are left, fewer than workers.minReplicas {}: they wait", left, wanted,
                     members_needed(wanted, spec.workers.min_replicas));
}

void tell_losses(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<Loss>& losses,
                 std::int64_t vanished) {
  if (losses.empty() && vanished == 0) return;
  const bool counted = pass.after.restarts != pass.before.restarts;
  std::string words = losses.empty() ? fmt::format("{} workers were deleted", vanished) : losses[0].words;
  if (vanished == 1 && losses.empty()) words = "a worker was deleted";
  if (losses.size() > 1) words += fmt::format(" (and {} more were lost)", losses.size() - 1);
  const std::string count =
      counted ? fmt::format("restart {} of {}", pass.after.restarts, spec.run_policy.max_restarts)
              : "not counted as a restart";
  const std::string told = with_note(words, fmt::format("{}; {}", how_it_goes_on(pass, spec), count));
  pass.event(counted ? "Warning" : "Normal", "WorkerLost", told);
  pass.condition(kAllTrain, false, "WorkerLost", told);
}

// What has changed besides losses.
void tell_changes(Pass& pass, const api::DistributedJobSpec& spec) {
  std::vector<std::int64_t> joined, left;
  const auto has = [](const std::vector<api::RosterMember>& roster, const std::string& uid) {
    return std::ranges::any_of(roster, [&uid](const auto& each) { return each.uid == uid; });
  };
  for (const api::RosterMember& each : pass.after.roster)
    if (!has(pass.before.roster, each.uid)) joined.push_back(each.index);
  for (const api::RosterMember& each : pass.before.roster)
    if (!has(pass.after.roster, each.uid) && each.index >= spec.workers.replicas) left.push_back(each.index);
  const std::string now =
      fmt::format("{} of {} workers train", pass.after.roster.size(), spec.workers.replicas);
  const api::Condition* some = api::find_condition(pass.after.conditions, kAllTrain);
  if (some != nullptr && !some->status && std::ssize(pass.after.roster) == spec.workers.replicas)
    pass.condition(kAllTrain, true, "AllJoined", now);
  if (!joined.empty() && !pass.before.roster.empty())
    pass.event("Normal", "WorkerJoined", fmt::format("{} joined: {}", workers_named(joined), now));
  if (!left.empty()) pass.event("Normal", "Scaled", fmt::format("{} left: {}", workers_named(left), now));
}

// Whether a pod has an assignment of a membership that is not in the status: by an operator of the release
// before.
bool was_formed_before(const Pass& pass, const MembershipPlan& plan) {
  const auto in_order = [&] {
    for (std::size_t rank = 0; rank < plan.roster.size(); ++rank)
      if (plan.roster[rank].index != static_cast<std::int64_t>(rank)) return false;
    return true;
  };
  const bool told = std::ranges::any_of(pass.seen.agents, [&pass](const auto& each) {
    return each.second.membership() == pass.before.membership;
  });
  return told && !in_order();
}

void form(Pass& pass, const MembershipPlan& plan, const std::vector<const Pod*>& servers) {
  if (!pass.before.roster.empty() || was_formed_before(pass, plan)) pass.after.membership += 1;
  pass.after.roster = plan.roster;
  pass.after.servers = next_servers(pass.after.servers, servers);
  pass.after.holders = plan.holders;
}

MembershipPlan plan_next(Pass& pass, const api::DistributedJobSpec& spec,
                         const std::vector<const Pod*>& workers, const std::vector<const Pod*>& servers,
                         const std::vector<Loss>& losses) {
  MembershipView view{.roster = pass.before.roster,
                      .holders = pass.before.holders,
                      .live = {},
                      .replicas = spec.workers.replicas,
                      .minimum = spec.workers.min_replicas,
                      .servers = servers_beside(pass, spec, servers),
                      .now = pass.seen.now};
  for (const Pod* pod : workers) {
    const bool lost = std::ranges::any_of(losses, [pod](const Loss& loss) { return loss.pod == pod; });
    if (!lost && fate_of(*pod) == PodFate::kAlive && !pod->ip.empty())
      view.live.push_back(candidate_of(pass, *pod));
  }
  MembershipPlan plan = plan_membership(view);
  if (plan.look_at) pass.again_at(*plan.look_at);
  return plan;
}

// Members with an index below `limit` that are not done, and have no pod.
std::int64_t vanished(const Pass& pass, std::int64_t limit, const std::vector<const Pod*>& workers) {
  return std::ranges::count_if(pass.before.roster, [&](const auto& member) {
    return member.index < limit && !is_done(pass.after, member.index) &&
           find_pod(workers, member.uid) == nullptr;
  });
}

// Nobody who holds the state is left, or the last steps are done. True when all begin anew; until the cluster
// tells how the last ones ended, that is not known.
bool begin_anew(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& workers,
                bool over) {
  for (const Pod* pod : workers) {
    if (fate_of(*pod) != PodFate::kFailed || lost_a_peer(*pod) || !has_been_counted(pass, *pod)) continue;
    restart(pass, Cause::kCounted, end_of(*pod), spec.run_policy.max_restarts);
    return true;
  }
  if (judge_workers(pass, spec, workers)) return true;
  const std::int64_t gone = vanished(pass, spec::kWorkersMax, workers);
  if (gone == 0 || (!over && !ranked(pass.before, workers).empty())) return false;
  restart(pass, Cause::kDisruption, fmt::format("{} of {} workers are gone", gone, pass.before.roster.size()),
          0);
  return true;
}

// Members waited in vain for their next assignment, or are of the release before, and of those that are left
// none answers.
bool gave_up(const Pass& pass, const std::vector<const Pod*>& members) {
  const bool one_did = std::ranges::any_of(members, [](const Pod* pod) { return lost_a_peer(*pod); });
  return one_did && std::ranges::none_of(members, [&pass](const Pod* pod) {
           return fate_of(*pod) == PodFate::kAlive && candidate_of(pass, *pod).answers;
         });
}

void note_state(Pass& pass, const std::vector<const Pod*>& workers) {
  if (they_work(pass, ranked(pass.before, workers)) && !pass.before.roster.empty())
    pass.after.holders = std::ssize(pass.before.roster);
}

void tell_wait(Pass& pass, const api::DistributedJobSpec& spec) {
  if (pass.after.roster.empty() || may_work(pass.after, spec)) return;
  const std::string words = how_it_goes_on(pass, spec);
  pass.after.phase = "Restarting";
  pass.condition("Restarting", true, "TooFewWorkers", words);
  if (api::is_true(pass.after.conditions, "Running"))
    pass.condition("Running", false, "TooFewWorkers", words);
}

}  // namespace

bool tend_members(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& workers,
                  const std::vector<const Pod*>& servers) {
  if (judge_all(pass, spec, workers)) return true;
  note_state(pass, workers);
  std::vector<Loss> losses = losses_of(pass, spec, workers);
  const auto is_of_member = [&pass](const Loss& loss) { return is_member(pass.before, *loss.pod); };
  const std::int64_t gone = vanished(pass, spec.workers.replicas, workers);
  const bool over = last_step_done(pass, workers, servers);
  const bool nobody = !workers.empty() && std::ranges::none_of(workers, [](const Pod* pod) {
    return fate_of(*pod) == PodFate::kAlive;
  });
  if (nobody || gave_up(pass, ranked(pass.before, workers))) return begin_anew(pass, spec, workers, over);
  if (over)
    return (vanished(pass, spec::kWorkersMax, workers) > 0 || std::ranges::any_of(losses, is_of_member)) &&
           begin_anew(pass, spec, workers, over);
  const auto alone = std::ranges::find_if(losses, [&](const Loss& loss) {
    return is_of_member(loss) && pass.before.roster.size() == 1 && fate_of(*loss.pod) == PodFate::kAlive;
  });
  if (alone != losses.end()) {  // nobody is left who could go on
    restart(pass, Cause::kDisruption, alone->words, 0);
    return true;
  }
  const MembershipPlan plan = plan_next(pass, spec, workers, servers, losses);
  if (plan.turn == Turn::kNobodyLeft) return begin_anew(pass, spec, workers, over);
  const bool next = plan.turn == Turn::kNext;
  // Who is judged is no member any more, or it would be judged again.
  if (!next) std::erase_if(losses, is_of_member);
  std::erase_if(losses, [&spec](const Loss& loss) { return loss.pod->index >= spec.workers.replicas; });
  for (const Loss& loss : losses)
    if (replace_alone(pass, loss, spec.run_policy.max_restarts)) return true;
  if (next) {
    form(pass, plan, servers);
    pass.after.disruptions += gone;
  }
  tell_losses(pass, spec, losses, next ? gone : 0);
  if (next) tell_changes(pass, spec);
  tell_wait(pass, spec);
  return false;
}

void remove_surplus(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& workers) {
  const std::vector<const Pod*> members = ranked(pass.before, workers);
  const bool settled = std::ranges::all_of(members, [&pass](const Pod* pod) {
    const AgentStatus* word = word_from(pass, *pod);
    return word != nullptr && word->membership() >= pass.before.membership;
  });
  const bool works = they_work(pass, members);
  for (const Pod* pod : workers) {
    if (pod->index < spec.workers.replicas || is_member(pass.before, *pod)) continue;
    if (pass.before.roster.empty() || settled || works || fate_of(*pod) != PodFate::kAlive)
      remove_pod(pass, *pod);
  }
}

}  // namespace muster::op
