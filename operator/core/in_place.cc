// operator/core/in_place.cc: memberships of jobs whose commands start again in their pods
#include "operator/core/in_place.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "operator/core/assignment.h"
#include "operator/core/failure_policy.h"
#include "operator/core/failure_rules.h"
#include "operator/core/incarnation.h"
#include "operator/core/lifecycle.h"
#include "operator/core/members.h"
#include "operator/core/pod_attempts.h"
#include "operator/core/pod_plan.h"

namespace muster::op {
namespace {

using control::v1::AgentStatus;
using Action = spec::FailureAction;

constexpr const char* kRole = "worker";
constexpr const char* kMembershipVariable = "MUSTER_MEMBERSHIP";

struct Ended {  // a pod, or the command in one that goes on
  const Pod* pod = nullptr;
  Pod as_ended;  // as it would be if the pod had ended by it
  bool command_only = false;
  bool late = false;  // of a membership that another one's end has ended already
};

// What the pod tells, if it answers; null: nothing, as after a takeover.
const AgentStatus* told_by(const Pass& pass, const Pod& pod) {
  const AgentStatus* word = word_from(pass, pod);
  const auto contact = pass.seen.contacts.find(pod.uid);
  const bool answers = contact == pass.seen.contacts.end() || contact->second.answers;
  return word != nullptr && answers && fate_of(pod) == PodFate::kAlive ? word : nullptr;
}

// The command of `membership`, or a later one, has ended, which nobody else tells: the pod goes on.
std::optional<Ended> ended_command(const Pass& pass, const Pod& pod, std::int64_t membership) {
  const AgentStatus* word = word_from(pass, pod);
  if (word == nullptr || fate_of(pod) != PodFate::kAlive || !word->exec().has_end()) return std::nullopt;
  const auto& end = word->exec().end();
  // Of one that has not been decided yet nothing can have ended: whoever says so would have it decided, over
  // and over.
  if (end.membership() < membership || end.membership() > pass.before.membership) return std::nullopt;
  Ended ended{
      .pod = &pod, .as_ended = pod, .command_only = true, .late = end.membership() < pass.before.membership};
  ended.as_ended.phase = PodPhase::kFailed;
  ended.as_ended.end = ContainerEnd{
      .exit_code = end.exit_code(), .reason = "Error", .message = end.words(), .finished_at = {}};
  return ended;
}

std::vector<Ended> ended_of(const Pass& pass, const std::vector<const Pod*>& workers, std::int64_t replicas,
                            std::int64_t membership) {
  std::vector<Ended> all;
  for (const Pod* pod : workers) {
    if (pod->index >= replicas) continue;  // it leaves
    const PodFate fate = fate_of(*pod);
    if (fate == PodFate::kFailed || fate == PodFate::kDisrupted)
      all.push_back({.pod = pod, .as_ended = *pod});
    if (auto ended = ended_command(pass, *pod, membership)) all.push_back(*std::move(ended));
  }
  return all;
}

// What ends the job, or makes all pods anew. True when the pass is over.
bool judge_all(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& workers,
               const std::vector<Ended>& ended) {
  for (const Action action : {Action::kFailJob, Action::kRestartJob}) {
    for (const Ended& each : ended) {
      const RuleMatch match = rule_for(spec.run_policy.failure_rules, each.as_ended);
      if (!match || match.rule->action != action) continue;
      if (action == Action::kRestartJob && each.late)  // it was counted with the other's
        restart(pass, Cause::kCounted, words_on(match, each.as_ended), spec.run_policy.max_restarts);
      else
        obey(pass, match, each.as_ended, spec.run_policy.max_restarts);
      return true;
    }
  }
  return restart_for_authority(pass, workers);
}

// Members whose pods are gone without a word.
std::int64_t vanished(const Pass& pass, const std::vector<const Pod*>& workers) {
  return std::ranges::count_if(pass.before.roster, [&](const api::RosterMember& member) {
    return !is_done(pass.before, member.index) && find_pod(workers, member.uid) == nullptr;
  });
}

// A new pod for each worker that has lost its own.
void replace_lost(Pass& pass, const std::vector<Ended>& ended, const spec::RunPolicy& policy) {
  const auto starts_anew = [&](const Ended& each) {
    const RuleMatch match = rule_for(policy.failure_rules, each.as_ended);
    return !each.command_only || (match && match.rule->action == Action::kRestartPod);
  };
  for (const Ended& each : ended)
    if (starts_anew(each)) count_attempt(pass, *each.pod, fate_of(each.as_ended) == PodFate::kFailed);
}

bool judge_ended(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& workers,
                 const std::vector<Ended>& ended) {
  const spec::RunPolicy& policy = spec.run_policy;
  const bool struck = std::ranges::any_of(ended, [](const Ended& each) {  // it may have ended the others
    return each.pod->on_bad_node && fate_of(*each.pod) == PodFate::kDisrupted;
  });
  const Ended* counted = nullptr;
  for (const Ended& each : ended) {
    if (struck) break;
    const RuleMatch match = rule_for(policy.failure_rules, each.as_ended);
    const bool ignored = match && match.rule->action == Action::kIgnore;
    if (fate_of(each.as_ended) == PodFate::kFailed && !ignored && counted == nullptr) counted = &each;
  }
  const std::int64_t gone = vanished(pass, workers);
  if (ended.empty() && gone == 0) return false;
  const Ended* first = counted != nullptr ? counted : ended.empty() ? nullptr : &ended.front();
  std::string words = fmt::format("{} of {} workers are gone", gone, pass.before.roster.size());
  if (first != nullptr) {
    const RuleMatch match = rule_for(policy.failure_rules, first->as_ended);
    words = match ? words_on(match, first->as_ended) : end_of(first->as_ended);
  }
  restart_in_place(pass, counted != nullptr ? Cause::kFailure : Cause::kDisruption, words,
                   policy.max_restarts);
  if (!pass.after.finished()) replace_lost(pass, ended, policy);
  return true;
}

bool judge_size(Pass& pass, const api::DistributedJobSpec& spec) {
  const std::int64_t was = std::ssize(pass.before.roster);
  if (was == 0 || was == spec.workers.replicas) return false;
  restart_in_place(pass, Cause::kScale, fmt::format("from {} to {} workers", was, spec.workers.replicas), 0);
  return true;
}

// What has ended with 0 before there is a roster ran in an earlier membership, however late its node tells
// it: all run again, so that each of these needs a new pod. True when the status says so.
bool replace_done(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& workers) {
  if (!pass.before.roster.empty()) return false;
  bool replaced = false;
  for (const Pod* pod : workers) {
    if (fate_of(*pod) != PodFate::kSucceeded || pod->index >= spec.workers.replicas) continue;
    count_attempt(pass, *pod, false);
    replaced = true;
  }
  return replaced;
}

// Once a pod of each worker waits in this membership, they are the roster: whatever a member ends with is of
// this membership. True when it is written.
bool form(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& workers) {
  if (!pass.before.roster.empty()) return false;
  std::vector<api::RosterMember> roster;
  for (const Pod* pod : workers) {
    const AgentStatus* word = pod->index < spec.workers.replicas ? told_by(pass, *pod) : nullptr;
    if (word != nullptr && word->membership() == pass.before.membership && word->exec().ready())
      roster.push_back({.index = pod->index, .uid = pod->uid});
  }
  if (std::ssize(roster) != spec.workers.replicas) return false;
  pass.after.roster = std::move(roster);
  return true;
}

ConfigurePod call_of(const Pass& pass, const Pod& pod) {
  static const std::string kNoSpec;  // it is the operator's alone
  return {.pod = pod.name,
          .uid = pod.uid,
          .ip = pod.ip,
          .common = std::make_shared<const control::v1::Assignment>(assignment_to(pass, kNoSpec))};
}

// It has ended what it ran before, and will start when it is told to; or it has already.
bool is_ready(const Pass& pass, const Pod* pod) {
  if (pod == nullptr) return false;
  if (fate_of(*pod) == PodFate::kSucceeded) return true;
  const AgentStatus* word = told_by(pass, *pod);
  if (word == nullptr || word->membership() != pass.before.membership) return false;
  return word->exec().ready() || word->phase() == control::v1::PHASE_RUNNING ||
         word->exec().end().membership() == pass.before.membership;
}

void start(Pass& pass, const api::DistributedJobSpec& spec, const Pod& pod) {
  const PodPlan plan{.owner = pass.meta,
                     .kind = pass.kind,
                     .role = kRole,
                     .index = pod.index,
                     .world_size = std::ssize(pass.before.roster),
                     .pod_template = spec.workers.pod_template,
                     .image_is_ours = false,
                     .default_image = {},
                     .rendezvous = spec.workers.rendezvous,
                     .ca = {}};
  ConfigurePod call = call_of(pass, pod);
  control::v1::ExecAssignment& orders = *call.own.mutable_exec();
  orders.set_start(true);
  auto variables = rendezvous_of(plan);
  variables.emplace_back(kMembershipVariable, std::to_string(pass.before.membership));
  for (auto& [name, value] : variables) {
    control::v1::Variable& variable = *orders.add_environment();
    variable.set_name(std::move(name));
    variable.set_value(std::move(value));
  }
  pass.act(std::move(call));
}

}  // namespace

bool tend_in_place(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& workers) {
  const auto ended = [&](std::int64_t membership) {
    return ended_of(pass, workers, spec.workers.replicas, membership);
  };
  const std::int64_t present = pass.before.membership;
  // The first to fail has often only lost the one that fails second, by when the next membership is decided.
  if (judge_all(pass, spec, workers, ended(present - 1)) ||
      judge_ended(pass, spec, workers, ended(present)) || judge_size(pass, spec))
    return true;
  return replace_done(pass, spec, workers) || form(pass, spec, workers);
}

void configure_in_place(Pass& pass, const api::DistributedJobSpec& spec,
                        const std::vector<const Pod*>& workers, const std::vector<const Pod*>& replaced) {
  // Those of wanted workers are waited for by name; one above the count has nobody who comes after it.
  bool others_run = std::ranges::any_of(replaced, &Pod::runs);
  for (const Pod* pod : workers) {
    if (is_member(pass.before, *pod) || pod->index < spec.workers.replicas) continue;
    // What runs in it ends first, since those that stay do not wait for its grace.
    if (told_by(pass, *pod) == nullptr || is_ready(pass, pod)) remove_pod(pass, *pod);
    others_run = others_run || pod->runs;
  }
  for (const Pod* pod : workers) {
    const AgentStatus* word = told_by(pass, *pod);
    if (word == nullptr || word->membership() >= pass.before.membership) continue;
    ConfigurePod call = call_of(pass, *pod);
    call.own.mutable_exec()->set_start(false);
    pass.act(std::move(call));
  }
  const auto& roster = pass.before.roster;
  if (roster.empty() || others_run || !std::ranges::all_of(roster, [&](const api::RosterMember& member) {
        return is_done(pass.before, member.index) || is_ready(pass, find_pod(workers, member.uid));
      }))
    return;
  const auto when = create_not_before(pass.before);
  for (const api::RosterMember& member : roster) {
    const Pod* pod = find_pod(workers, member.uid);
    const AgentStatus* word = pod == nullptr ? nullptr : told_by(pass, *pod);
    if (word == nullptr || !word->exec().ready()) continue;
    if (when && !pass.is_due(*when)) return;
    start(pass, spec, *pod);
  }
}

bool commands_run(const Pass& pass, const api::DistributedJobSpec& spec,
                  const std::vector<const Pod*>& workers) {
  const auto& roster = pass.after.roster;
  return std::ssize(roster) == spec.workers.replicas &&
         std::ranges::all_of(roster, [&](const api::RosterMember& member) {
           if (is_done(pass.after, member.index)) return true;
           const Pod* pod = find_pod(workers, member.uid);
           const AgentStatus* word = pod == nullptr ? nullptr : told_by(pass, *pod);
           return word != nullptr && word->membership() == pass.after.membership &&
                  word->phase() == control::v1::PHASE_RUNNING;
         });
}

}  // namespace muster::op
