// operator/core/configure.cc: the members of a training are told their membership
#include "operator/core/configure.h"

#include <memory>

#include "operator/api/mounts.h"
#include "operator/core/assignment.h"
#include "operator/core/failure_policy.h"
#include "operator/core/members.h"
#include "operator/core/roster.h"
#include "operator/core/servers.h"

namespace muster::op {
namespace {

// One that lives, answers, and has no assignment of this membership yet.
bool awaits_assignment(const Pass& pass, const Pod& pod) {
  const auto agent = pass.seen.agents.find(pod.uid);
  return fate_of(pod) == PodFate::kAlive && agent != pass.seen.agents.end() &&
         agent->second.membership() < pass.before.membership;
}

// The assignment that the pods of a role share.
std::shared_ptr<control::v1::Assignment> common_of(const Pass& pass, const api::DistributedJobSpec& spec,
                                                   const std::string& for_pods, const Roster& roster,
                                                   std::int64_t servers, const Json& pod_template,
                                                   const char* role) {
  auto common = std::make_shared<control::v1::Assignment>(assignment_to(pass, for_pods));
  *common->mutable_worker()->mutable_roster() = roster;
  common->mutable_worker()->set_servers(static_cast<std::int32_t>(servers));
  if (spec.synchronization.is_gossip())
    common->mutable_worker()->set_parts(
        static_cast<std::int32_t>(spec.workers.max_replicas.value_or(spec.workers.replicas)));
  for (std::string& mount : api::writable_mounts(pod_template, role))
    common->add_writable_mounts(std::move(mount));
  return common;
}

}  // namespace

void configure(Pass& pass, const Configuring& what) {
  const api::DistributedJobSpec& spec = what.spec;
  if (pass.after.membership != pass.before.membership || !may_work(pass.before, spec)) return;
  const auto servers = servers_of(pass.before.servers, what.servers);
  if (std::ssize(servers) < servers_wanted(spec)) return;
  auto roster = roster_of(pass.before.roster, what.workers);
  if (!roster || !add_servers(*roster, servers)) return;
  const auto assign = [&pass](const std::vector<const Pod*>& pods, std::int32_t rank,
                              const std::shared_ptr<control::v1::Assignment>& common) {
    for (const Pod* pod : pods) {
      if (awaits_assignment(pass, *pod)) {
        ConfigurePod call{.pod = pod->name, .uid = pod->uid, .ip = pod->ip, .common = common};
        call.own.mutable_worker()->set_rank(rank);
        pass.act(std::move(call));
      }
      ++rank;
    }
  };
  const auto common = [&](const Json& pod_template, const char* role) {
    return common_of(pass, spec, what.for_pods, *roster, std::ssize(servers), pod_template, role);
  };
  assign(ranked(pass.before, what.workers), 0, common(spec.workers.pod_template, "worker"));
  if (!servers.empty())
    assign(servers, static_cast<std::int32_t>(pass.before.roster.size()),
           common(server_template(spec), kServerRole));
}

}  // namespace muster::op
