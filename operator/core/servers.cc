// operator/core/servers.cc: the parameter servers of a training
#include "operator/core/servers.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "common/pods/standstill.h"
#include "operator/core/failure_policy.h"
#include "operator/core/failure_rules.h"
#include "operator/core/followers.h"
#include "operator/core/lifecycle.h"
#include "operator/core/members.h"
#include "operator/core/pod_attempts.h"
#include "operator/core/worker_losses.h"

namespace muster::op {
namespace {

// Of one that does not answer: then it is given up. See worker_losses.cc.
constexpr auto kCausePatience = std::chrono::seconds(15);

// A rule of the user's, or what cannot work, ends the job or lets all begin anew. True when the pass is over.
bool judge_for_all(Pass& pass, const spec::RunPolicy& policy, const std::vector<const Pod*>& servers,
                   const std::vector<const Pod*>& workers) {
  for (const Pod* server : servers) {
    if (fate_of(*server) != PodFate::kFailed && fate_of(*server) != PodFate::kDisrupted) continue;
    const RuleMatch match = lost_a_peer(*server) ? RuleMatch{} : rule_for(policy.failure_rules, *server);
    if (match && (match.rule->action == spec::FailureAction::kFailJob ||
                  match.rule->action == spec::FailureAction::kRestartJob)) {
      obey(pass, match, *server, policy.max_restarts);
      return true;
    }
    if (match || !cannot_work(*server)) continue;
    // What a worker cannot do, the servers end with, too.
    const auto cause = std::ranges::find_if(workers, [](const Pod* worker) { return cannot_work(*worker); });
    fail(pass, "PodFailedPermanently",
         with_note(end_of(cause == workers.end() ? *server : **cause), "a restart would not help"));
    return true;
  }
  return restart_for_authority(pass, servers);
}

std::optional<Loss> ended(Pass& pass, const spec::RunPolicy& policy, const Pod& server) {
  const PodFate fate = fate_of(server);
  if (fate != PodFate::kFailed && fate != PodFate::kDisrupted) return std::nullopt;
  // One that lost its workers, or waited for them in vain, is no cause: that shows by itself meanwhile.
  const bool of_peer = fate == PodFate::kFailed && lost_a_peer(server);
  if (of_peer && !pass.is_due(server.sighted.value_or(pass.seen.now) + kCausePatience)) return std::nullopt;
  const RuleMatch match = of_peer ? RuleMatch{} : rule_for(policy.failure_rules, server);
  const bool ignored = match && match.rule->action == spec::FailureAction::kIgnore;
  return Loss{.pod = &server,
              .words = match ? words_on(match, server) : end_of(server),
              .counts = fate == PodFate::kFailed && !of_peer && !server.on_bad_node && !ignored};
}

bool is_member_server(const Pass& pass, const Pod& server) {
  return std::ranges::find(pass.before.servers, server.uid, &api::ServerMember::uid) !=
         pass.before.servers.end();
}

// Stands still by the words of a worker, which are of the members: not of one that replaces one of them. The
// servers' ranks come behind the roster.
std::optional<Loss> standing_still(const Pass& pass, const Pod& server,
                                   const std::vector<const Pod*>& workers) {
  if (!is_member_server(pass, server)) return std::nullopt;
  for (const Pod* worker : workers) {
    const auto* word = word_from(pass, *worker);
    if (word == nullptr || word->membership() != pass.before.membership) continue;
    const auto said = standstill_in(word->message());
    if (!said || said->rank != std::ssize(pass.before.roster) + server.index) continue;
    return Loss{.pod = &server,
                .words = fmt::format("server {} stands still ({}{}), says {}", server.index, server.name,
                                     server.node.empty() ? "" : " on " + server.node, worker->name),
                .counts = said->hung};
  }
  return std::nullopt;
}

std::optional<Loss> out_of_reach(Pass& pass, const Pod& server) {
  if (!has_gone_silent_with_node(pass, server)) return std::nullopt;
  return Loss{
      .pod = &server,
      .words = fmt::format("{} does not answer, as its node {} is out of reach", server.name, server.node)};
}

std::vector<Loss> lost_servers(Pass& pass, const spec::RunPolicy& policy,
                               const std::vector<const Pod*>& servers,
                               const std::vector<const Pod*>& workers) {
  std::vector<Loss> losses;
  for (const Pod* server : servers) {
    std::optional<Loss> loss = ended(pass, policy, *server);
    if (!loss && fate_of(*server) == PodFate::kAlive) loss = standing_still(pass, *server, workers);
    if (!loss && fate_of(*server) == PodFate::kAlive) loss = out_of_reach(pass, *server);
    if (loss) losses.push_back(*std::move(loss));
  }
  return losses;
}

// Those without their part, or about which that is not known: of two beside each other, one part is lost.
bool all_parts_are_left(const std::vector<api::ServerMember>& servers) {
  const auto is_empty = [&servers](std::size_t at) { return servers[at].uid.empty() || servers[at].anew; };
  for (std::size_t at = 0; at < servers.size(); ++at)
    if (is_empty(at) && is_empty((at + 1) % servers.size())) return false;
  return servers.size() >= 2;
}

std::string how_it_goes_on(const Pass& pass, const std::vector<std::int64_t>& lost) {
  const auto size = std::ssize(pass.after.servers);
  return fmt::format("its replacement gets its part of the parameters from server {}",
                     (lost.front() + 1) % size);
}

// Those that were struck from the members in this pass.
void tell_loss(Pass& pass, const spec::RunPolicy& policy, const std::string& what,
               const std::vector<std::int64_t>& lost) {
  const bool counted = pass.after.restarts != pass.before.restarts;
  const std::string more = lost.size() > 1 ? fmt::format(" (and {} more were lost)", lost.size() - 1) : "";
  const std::string told = with_note(
      what + more,
      fmt::format("{}; {}", how_it_goes_on(pass, lost),
                  counted ? fmt::format("restart {} of {}", pass.after.restarts, policy.max_restarts)
                          : "not counted as a restart"));
  pass.event(counted ? "Warning" : "Normal", "ServerLost", told);
  pass.after.phase = "Restarting";
  pass.condition("Restarting", true, "ServerLost", told);
  if (api::is_true(pass.after.conditions, "Running")) pass.condition("Running", false, "ServerLost", told);
}

}  // namespace

std::int64_t servers_wanted(const api::DistributedJobSpec& spec) {
  return spec.training ? spec.synchronization.servers() : 0;
}

const Json& server_template(const api::DistributedJobSpec& spec) {
  static const Json kNone;
  return spec.synchronization.parameter_servers ? spec.synchronization.parameter_servers->pod_template
                                                : kNone;
}

bool judge_servers(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& servers,
                   const std::vector<const Pod*>& workers) {
  const auto& policy = spec.run_policy;
  if (judge_for_all(pass, policy, servers, workers)) return true;
  std::vector<api::ServerMember> members = pass.after.servers;
  if (they_work(pass, ranked(pass.before, workers)))  // none does before all servers have their parts
    for (api::ServerMember& member : members) member.anew = false;
  const std::vector<Loss> losses = lost_servers(pass, policy, servers, workers);
  std::vector<std::int64_t> lost;
  std::int64_t gone = 0;
  for (api::ServerMember& member : members) {
    const bool judged =
        std::ranges::any_of(losses, [&](const Loss& loss) { return loss.pod->uid == member.uid; });
    const bool vanished = !judged && !member.uid.empty() && find_pod(servers, member.uid) == nullptr;
    if (!judged && !vanished) continue;
    gone += vanished ? 1 : 0;
    if (vanished) lost.push_back(member.index);
    member.uid.clear();
  }
  for (const Loss& loss : losses) lost.push_back(loss.pod->index);
  if (losses.empty() && gone == 0) {
    pass.after.servers = std::move(members);
    return false;
  }
  const std::string what =
      losses.empty() ? fmt::format("{} of {} servers are gone", gone, servers_wanted(spec)) : losses[0].words;
  const bool some_left = std::ranges::any_of(
      ranked(pass.before, workers), [](const Pod* worker) { return fate_of(*worker) == PodFate::kAlive; });
  if (!some_left || last_step_done(pass, workers, servers) || !all_parts_are_left(members)) {
    const bool counts = !losses.empty() && losses[0].counts;
    const bool counted = counts && has_been_counted(pass, *losses[0].pod);
    restart(pass,
            counted  ? Cause::kCounted
            : counts ? Cause::kFailure
                     : Cause::kDisruption,
            what, policy.max_restarts);
    return true;
  }
  for (const Loss& loss : losses)
    if (replace_alone(pass, loss, policy.max_restarts)) return true;
  pass.after.servers = std::move(members);
  pass.after.disruptions += gone;
  tell_loss(pass, policy, what, lost);
  return true;
}

std::vector<const Pod*> servers_of(const std::vector<api::ServerMember>& members,
                                   const std::vector<const Pod*>& servers) {
  std::vector<const Pod*> pods;
  for (const api::ServerMember& member : members)
    if (const Pod* pod = find_pod(servers, member.uid); pod != nullptr) pods.push_back(pod);
  return pods;
}

ServersBeside servers_beside(const Pass& pass, const api::DistributedJobSpec& spec,
                             const std::vector<const Pod*>& servers) {
  if (std::ssize(servers) < servers_wanted(spec)) return ServersBeside::kAwaited;
  bool changed = std::ssize(pass.before.servers) != servers_wanted(spec);
  for (const Pod* server : servers) {
    const bool is_member = is_member_server(pass, *server);
    const auto contact = pass.seen.contacts.find(server->uid);
    const bool silent = contact != pass.seen.contacts.end() && !contact->second.answers;
    const bool known = is_member || word_from(pass, *server) != nullptr;
    if (fate_of(*server) != PodFate::kAlive || server->ip.empty() || silent || !known)
      return ServersBeside::kAwaited;
    changed = changed || !is_member;
  }
  return changed ? ServersBeside::kChanged : ServersBeside::kSame;
}

std::vector<api::ServerMember> next_servers(const std::vector<api::ServerMember>& members,
                                            const std::vector<const Pod*>& servers) {
  std::vector<api::ServerMember> next;
  next.reserve(servers.size());
  for (const Pod* server : servers) {
    const auto before = std::ranges::find(members, server->index, &api::ServerMember::index);
    const bool anew = before != members.end() && (before->anew || before->uid != server->uid);
    next.push_back({.index = server->index, .uid = server->uid, .anew = anew});
  }
  return next;
}

}  // namespace muster::op
