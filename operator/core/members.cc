// operator/core/members.cc: the members of a training as a pass sees them
#include "operator/core/members.h"

#include <algorithm>

#include "common/pods/standstill.h"
#include "operator/core/failure_policy.h"

namespace muster::op {
namespace {

using control::v1::AgentStatus;
using State = Candidate::State;

std::optional<std::int64_t> blamed_by(const AgentStatus& word) {
  const auto named = named_rank_in(word.message());
  return named ? std::optional(named->rank) : std::nullopt;
}

State state_of(const Pass& pass, const AgentStatus& word) {
  if (word.phase() == control::v1::PHASE_FAILED) return State::kEnding;
  if (word.membership() != pass.before.membership) return State::kUnknown;
  switch (word.phase()) {
    case control::v1::PHASE_WAITING: return State::kBroken;
    case control::v1::PHASE_STARTING: return blamed_by(word) ? State::kBroken : State::kStarting;
    case control::v1::PHASE_RUNNING: return blamed_by(word) ? State::kBroken : State::kWorks;
    case control::v1::PHASE_SUCCEEDED: return State::kWorks;
    default: return State::kUnknown;
  }
}

}  // namespace

bool is_member(const api::JobStatus& status, const Pod& pod) {
  return std::ranges::any_of(status.roster, [&pod](const auto& each) { return each.uid == pod.uid; });
}

const Pod* find_pod(const std::vector<const Pod*>& pods, const std::string& uid) {
  const auto found = std::ranges::find_if(pods, [&uid](const Pod* pod) { return pod->uid == uid; });
  return found == pods.end() ? nullptr : *found;
}

bool may_work(const api::JobStatus& status, const api::DistributedJobSpec& spec) {
  return !status.roster.empty() &&
         std::ssize(status.roster) >= members_needed(spec.workers.replicas, spec.workers.min_replicas);
}

std::vector<const Pod*> ranked(const api::JobStatus& status, const std::vector<const Pod*>& workers) {
  if (status.roster.empty()) return workers;
  std::vector<const Pod*> members;
  for (const api::RosterMember& each : status.roster)
    if (const Pod* pod = find_pod(workers, each.uid); pod != nullptr) members.push_back(pod);
  return members;
}

const Pod* rank_0_of(const api::JobStatus& status, const std::vector<const Pod*>& workers) {
  if (!status.roster.empty()) return find_pod(workers, status.roster.front().uid);
  return workers.empty() || workers.front()->index != 0 ? nullptr : workers.front();
}

const AgentStatus* word_from(const Pass& pass, const Pod& pod) {
  const auto found = pass.seen.agents.find(pod.uid);
  return found == pass.seen.agents.end() ? nullptr : &found->second;
}

Candidate candidate_of(const Pass& pass, const Pod& pod) {
  Candidate candidate{.index = pod.index, .uid = pod.uid};
  const auto contact = pass.seen.contacts.find(pod.uid);
  if (contact != pass.seen.contacts.end()) candidate.since = contact->second.since;
  const AgentStatus* word = word_from(pass, pod);
  candidate.answers = word != nullptr && (contact == pass.seen.contacts.end() || contact->second.answers);
  if (word == nullptr) return candidate;
  candidate.state = state_of(pass, *word);
  if (candidate.state == State::kBroken) candidate.blames = blamed_by(*word);
  return candidate;
}

bool they_work(const Pass& pass, const std::vector<const Pod*>& members) {
  return std::ranges::any_of(members, [&pass](const Pod* pod) {
    const AgentStatus* word = word_from(pass, *pod);
    return word != nullptr && state_of(pass, *word) == State::kWorks;
  });
}

bool last_step_done(const Pass& pass, const std::vector<const Pod*>& workers,
                    const std::vector<const Pod*>& servers) {
  const auto is_done = [&pass](const Pod* pod) {
    const AgentStatus* word = word_from(pass, *pod);
    return fate_of(*pod) == PodFate::kSucceeded ||
           (word != nullptr && word->phase() == control::v1::PHASE_SUCCEEDED);
  };
  return !pass.after.succeeded_ranks.empty() || std::ranges::any_of(workers, is_done) ||
         std::ranges::any_of(servers, is_done);
}

}  // namespace muster::op
