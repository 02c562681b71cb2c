// operator/core/servers.cc: the parameter servers of a training
#include "operator/core/servers.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "common/pods/standstill.h"
#include "operator/core/credentials.h"
#include "operator/core/failure_policy.h"
#include "operator/core/failure_rules.h"
#include "operator/core/lifecycle.h"
#include "operator/core/members.h"

namespace muster::op {
namespace {

// Of one that does not answer: then it is given up. See worker_losses.cc.
constexpr auto kSilencePatience = std::chrono::seconds(15);
constexpr auto kCausePatience = std::chrono::seconds(15);

struct Verdict {
  Cause cause;
  std::string words;
};

// By its end: a rule of the user's, or what it means by itself. True when the pass is over.
bool judge_end(Pass& pass, const spec::RunPolicy& policy, const Pod& server,
               const std::vector<const Pod*>& workers) {
  if (fate_of(server) != PodFate::kFailed && fate_of(server) != PodFate::kDisrupted) return false;
  if (const RuleMatch match = rule_for(policy.failure_rules, server);
      match && !lost_a_peer(server) && match.rule->action != spec::FailureAction::kRestartPod) {
    obey(pass, match, server, policy.max_restarts);
    return true;
  }
  if (cannot_work(server)) {
    // What a worker cannot do, the servers end with, too.
    const auto cause = std::ranges::find_if(workers, [](const Pod* worker) { return cannot_work(*worker); });
    fail(pass, "PodFailedPermanently",
         with_note(end_of(cause == workers.end() ? server : **cause), "a restart would not help"));
    return true;
  }
  // One that lost its workers, or waited for them in vain, is no cause: that shows by itself meanwhile.
  const bool of_peer = fate_of(server) == PodFate::kFailed && lost_a_peer(server);
  if (of_peer && !pass.is_due(server.sighted.value_or(pass.seen.now) + kCausePatience)) return false;
  const bool counts = fate_of(server) == PodFate::kFailed && !of_peer && !server.on_bad_node;
  restart(pass, counts ? Cause::kFailure : Cause::kDisruption, end_of(server), policy.max_restarts);
  return true;
}

// Stands still by the words of a worker. The servers' ranks come behind the roster.
std::optional<Verdict> standing_still(const Pass& pass, const Pod& server,
                                      const std::vector<const Pod*>& workers) {
  for (const Pod* worker : workers) {
    const auto* word = word_from(pass, *worker);
    if (word == nullptr || word->membership() != pass.before.membership) continue;
    const auto said = standstill_in(word->message());
    if (!said || said->rank != std::ssize(pass.before.roster) + server.index) continue;
    return Verdict{said->hung ? Cause::kFailure : Cause::kDisruption,
                   fmt::format("server {} stands still ({}{}), says {}", server.index, server.name,
                               server.node.empty() ? "" : " on " + server.node, worker->name)};
  }
  return std::nullopt;
}

std::optional<Verdict> out_of_reach(Pass& pass, const Pod& server) {
  const auto contact = pass.seen.contacts.find(server.uid);
  if (contact == pass.seen.contacts.end() || contact->second.answers ||
      !pass.seen.agents.contains(server.uid))
    return std::nullopt;
  if (!pass.is_due(contact->second.since + kSilencePatience)) return std::nullopt;
  return Verdict{Cause::kDisruption, fmt::format("{} does not answer{}", server.name,
                                                 server.node.empty() ? "" : "; its node is " + server.node)};
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
  const std::int64_t max = spec.run_policy.max_restarts;
  for (const Pod* server : servers)
    if (judge_end(pass, spec.run_policy, *server, workers)) return true;
  for (const Pod* server : servers) {
    std::optional<Verdict> verdict;
    if (has_other_authority(pass.seen, *server))
      verdict = Verdict{Cause::kDisruption, other_authority(pass, *server)};
    if (!verdict) verdict = standing_still(pass, *server, workers);
    if (!verdict) verdict = out_of_reach(pass, *server);
    if (!verdict) continue;
    restart(pass, verdict->cause, verdict->words, max);
    return true;
  }
  const std::int64_t gone = servers_wanted(spec) - std::ssize(servers);
  const bool formed = pass.before.formed_incarnation == pass.after.incarnation || pass.before.holders > 0;
  if (gone <= 0 || !formed) return false;
  restart(pass, Cause::kDisruption, fmt::format("{} of {} servers are gone", gone, servers_wanted(spec)), 0);
  return true;
}

}  // namespace muster::op
