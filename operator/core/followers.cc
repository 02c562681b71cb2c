// operator/core/followers.cc: to whose Agents the operator listens
#include "operator/core/followers.h"

#include <algorithm>

#include "operator/core/failure_policy.h"

namespace muster::op {
namespace {

constexpr auto kSettled = std::chrono::minutes(1);

// The aggregator, or the first rank that is left.
const Pod* lead_of(const Pass& pass) {
  const Pod* lead = nullptr;
  for (const Pod& pod : pass.seen.pods) {
    const bool counts = pod.role != "client" && pod.incarnation == pass.before.incarnation &&
                        !pod.ip.empty() && fate_of(pod) == PodFate::kAlive;
    if (counts && (lead == nullptr || pod.index < lead->index)) lead = &pod;
  }
  return lead;
}

// Whether all workers have their assignment: none begins before all have, so one that trains says so. After a
// takeover nothing is known of a job that has run for long, and its first rank is asked before the others
// are.
bool they_work(const Pass& pass, const Pod& lead) {
  const auto told = pass.seen.agents.find(lead.uid);
  if (told != pass.seen.agents.end())
    return told->second.membership() == pass.before.membership &&
           (told->second.phase() == control::v1::PHASE_RUNNING ||
            told->second.phase() == control::v1::PHASE_SUCCEEDED);
  const api::Condition* running = api::find_condition(pass.before.conditions, "Running");
  return running != nullptr && running->status && pass.seen.now >= running->last_transition + kSettled;
}

}  // namespace

void follow_agents(Pass& pass) {
  const Pod* lead = lead_of(pass);
  const bool all_work = lead != nullptr && lead->role == "worker" && they_work(pass, *lead);
  for (const Pod& pod : pass.seen.pods) {
    if (pod.ip.empty() || fate_of(pod) != PodFate::kAlive || pod.incarnation < pass.before.incarnation)
      continue;
    if (all_work && &pod != lead) continue;
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
