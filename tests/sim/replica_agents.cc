// tests/sim/replica_agents.cc: follows, calls and backoff
#include "replica_agents.h"

#include <algorithm>

#include "operator/core/assignment.h"

namespace muster::sim {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLatency{5};
constexpr milliseconds kCallTimeout{5000};
constexpr milliseconds kPauseMin{250}, kPauseMax{5000};

}  // namespace

ReplicaAgents::ReplicaAgents(World world, std::shared_ptr<Link> link, Changed changed)
    : world_(world), link_(std::move(link)), changed_(std::move(changed)) {}

ReplicaAgents::~ReplicaAgents() {
  *here_ = false;
  while (telling_ > 0) world_.threads.wait(this);
}

void ReplicaAgents::follow(const std::string& owner, const std::vector<op::AgentAddress>& pods) {
  std::erase_if(followed_, [&](const auto& entry) {
    return entry.second.owner == owner &&
           std::none_of(pods.begin(), pods.end(), [&](const auto& pod) { return pod.uid == entry.first; });
  });
  for (const op::AgentAddress& pod : pods) {
    Followed fresh{.owner = owner, .status = {}, .refusal = {}};
    fresh.contact.since = std::chrono::steady_clock::now();
    if (!followed_.try_emplace(pod.uid, std::move(fresh)).second) continue;
    told(pod.uid);
  }
}

void ReplicaAgents::told(const std::string& uid) {
  if (!followed_.contains(uid)) return;
  world_.threads.after(kLatency, [this, uid, here = here_] {
    if (!*here || !link_->alive) return;
    const auto found = followed_.find(uid);
    if (found == followed_.end()) return;
    const bool silent = !world_.nodes.reaches(uid) || world_.faults.strikes(Fault::kAgentSilent);
    auto status = world_.programs.status(uid);
    if (!status || silent) this->silent(found->second);
    if (!status) return;  // it has ended: the kubelet tells how
    if (silent) {
      world_.threads.after(kPauseMax, [this, uid, here] {
        if (*here) told(uid);
      });
      return;
    }
    const bool progress = found->second.status && found->second.contact.answers &&
                          found->second.status->phase() == status->phase() &&
                          found->second.status->membership() == status->membership() &&
                          found->second.status->message() == status->message();
    if (!progress) found->second.contact = {.answers = true, .since = std::chrono::steady_clock::now()};
    found->second.status = std::move(status);
    change(found->second.owner, progress);
  });
}

void ReplicaAgents::silent(Followed& pod) {
  if (!pod.contact.answers) return;
  pod.contact = {.answers = false, .since = std::chrono::steady_clock::now()};
  change(pod.owner, false);
}

std::optional<ReplicaAgents::Contact> ReplicaAgents::contact(const std::string& pod_uid) const {
  const auto found = followed_.find(pod_uid);
  return found == followed_.end() ? std::nullopt : std::optional(found->second.contact);
}

// As the threads of AgentClient do, from a thread of the replica.
void ReplicaAgents::change(const std::string& owner, bool progress) {
  world_.threads.post(link_->replica, [this, owner, progress, here = here_] {
    if (!*here || !link_->alive) return;
    ++telling_;
    changed_(owner, progress);
    --telling_;
    world_.threads.wake(this);
  });
}

std::optional<control::v1::AgentStatus> ReplicaAgents::status(const std::string& pod_uid) const {
  const auto found = followed_.find(pod_uid);
  return found == followed_.end() ? std::nullopt : found->second.status;
}

std::optional<Error> ReplicaAgents::refusal(const std::string& pod_uid) const {
  const auto found = followed_.find(pod_uid);
  return found == followed_.end() ? std::nullopt : found->second.refusal;
}

void ReplicaAgents::configure(const op::ConfigurePod& pod) {
  const auto found = followed_.find(pod.uid);
  if (found == followed_.end() || found->second.calling || world_.threads.now() < found->second.next_call)
    return;
  found->second.calling = true;
  control::v1::Assignment assignment = op::assignment_of(pod);
  assignment.set_pod_uid(pod.uid);
  const bool lost = !world_.nodes.reaches(pod.uid) || world_.faults.strikes(Fault::kAgentSilent);
  world_.threads.after(
      lost ? kCallTimeout : kLatency, [=, this, here = here_, uid = pod.uid, &programs = world_.programs] {
        // The pod takes it whether or not the operator still lives, or leads.
        const Status result =
            lost ? Status(Error{Code::kDeadlineExceeded, "no answer"}) : programs.configure(uid, assignment);
        if (*here && link_->alive) answered(uid, result);
      });
}

void ReplicaAgents::answered(const std::string& uid, const Status& result) {
  const auto found = followed_.find(uid);
  if (found == followed_.end()) return;
  Followed& pod = found->second;
  pod.calling = false;
  pod.pause = result ? Nanos(kPauseMin) : std::clamp<Nanos>(pod.pause * 2, kPauseMin, kPauseMax);
  pod.next_call = world_.threads.now() + pod.pause;
  const bool had = pod.refusal.has_value();
  pod.refusal.reset();
  if (!result) pod.refusal = result.error();
  if (had || !result) change(pod.owner, false);
}

}  // namespace muster::sim
