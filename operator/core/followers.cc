// operator/core/followers.cc: to whose Agents the operator listens
#include "operator/core/followers.h"

#include <algorithm>

#include "operator/core/failure_policy.h"
#include "operator/core/servers.h"

namespace muster::op {
namespace {

constexpr auto kSilencePatience = std::chrono::seconds(15);  // then its node is asked for
constexpr auto kNodeLook = std::chrono::seconds(5);
constexpr auto kSettled = std::chrono::minutes(1);

bool counts(const Pass& pass, const Pod& pod) {
  return pod.role != "client" && pod.role != kServerRole && pod.incarnation == pass.before.incarnation &&
         !pod.ip.empty() && fate_of(pod) == PodFate::kAlive;
}

bool is_member(const Pass& pass, const Pod& pod) {
  const auto& roster = pass.before.roster;
  return pod.role != "worker" ||
         std::ranges::any_of(roster, [&pod](const auto& each) { return each.uid == pod.uid; });
}

// The aggregator, or the first rank that is left, and one beside it.
struct Leads {
  const Pod* first = nullptr;
  const Pod* second = nullptr;
};

Leads leads_of(const Pass& pass) {
  std::vector<const Pod*> members;
  for (const api::RosterMember& each : pass.before.roster) {
    const auto pod = std::ranges::find(pass.seen.pods, each.uid, &Pod::uid);
    if (pod != pass.seen.pods.end() && counts(pass, *pod)) members.push_back(&*pod);
  }
  if (pass.before.roster.empty()) {
    for (const Pod& pod : pass.seen.pods)
      if (counts(pass, pod)) members.push_back(&pod);
    std::ranges::stable_sort(members, {}, &Pod::index);
    if (!members.empty()) members.resize(1);
  }
  if (members.empty()) return {};
  Leads leads{.first = members.front()};
  for (const Pod* pod : members) {
    if (pod == leads.first) continue;
    if (leads.second == nullptr) leads.second = pod;
    if (pod->node == leads.first->node) continue;
    leads.second = pod;
    break;
  }
  return leads;
}

// It trains, and says nothing else: a message tells what it has lost.
bool works(const Pass& pass, const control::v1::AgentStatus& told) {
  return told.membership() == pass.before.membership &&
         ((told.phase() == control::v1::PHASE_RUNNING && told.message().empty()) ||
          told.phase() == control::v1::PHASE_SUCCEEDED);
}

bool is_lost(const Pass& pass, const Pod& pod) {
  const auto contact = pass.seen.contacts.find(pod.uid);
  return pass.seen.agents.contains(pod.uid) && contact != pass.seen.contacts.end() &&
         !contact->second.answers;
}

// Whether all workers have their assignment: none begins before all have, so one that trains says so. After a
// takeover nothing is known of a job that has run for long, and its first ranks are asked before the others
// are.
bool they_work(const Pass& pass, const Leads& leads) {
  for (const Pod* pod : {leads.first, leads.second})
    if (pod != nullptr && is_lost(pass, *pod)) return false;
  const auto told = pass.seen.agents.find(leads.first->uid);
  if (leads.second != nullptr) {
    const auto beside = pass.seen.agents.find(leads.second->uid);
    const bool begins = beside != pass.seen.agents.end() && beside->second.message().empty() &&
                        beside->second.phase() == control::v1::PHASE_STARTING;
    if (beside != pass.seen.agents.end() && !begins && !works(pass, beside->second)) return false;
  }
  if (told != pass.seen.agents.end()) return works(pass, told->second);
  const api::Condition* running = api::find_condition(pass.before.conditions, "Running");
  return running != nullptr && running->status && pass.seen.now >= running->last_transition + kSettled;
}

}  // namespace

bool has_gone_silent(Pass& pass, const Pod& pod) {
  return is_lost(pass, pod) && pass.is_due(pass.seen.contacts.at(pod.uid).since + kSilencePatience);
}

bool has_gone_silent_with_node(Pass& pass, const Pod& pod) {
  if (!has_gone_silent(pass, pod)) return false;
  if (pass.seen.lost_nodes.contains(pod.node)) return true;
  pass.again_at(pass.seen.now + kNodeLook);
  return false;
}

void follow_agents(Pass& pass, bool all) {
  const Leads leads = leads_of(pass);
  const bool all_work =
      !all && leads.first != nullptr && leads.first->role == "worker" && they_work(pass, leads);
  for (const Pod& pod : pass.seen.pods) {
    if (pod.ip.empty() || fate_of(pod) != PodFate::kAlive || pod.incarnation < pass.before.incarnation)
      continue;
    if (all_work && &pod != leads.first && &pod != leads.second && is_member(pass, pod)) continue;
    pass.decision.agents.push_back({.pod = pod.name,
                                    .uid = pod.uid,
                                    .ip = pod.ip,
                                    .peer = {.role = pod.role, .index = pod.index, .uid = pass.meta.uid},
                                    .membership = pass.before.membership});
  }
}

bool all_have_told(const Pass& pass, bool of_this_membership) {
  return std::ranges::all_of(pass.decision.agents, [&](const AgentAddress& agent) {
    const auto told = pass.seen.agents.find(agent.uid);
    return told != pass.seen.agents.end() &&
           (!of_this_membership || told->second.membership() >= pass.before.membership);
  });
}

}  // namespace muster::op
