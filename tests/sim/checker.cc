// tests/sim/checker.cc: the invariants
#include "checker.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kube/leader_election.h"
#include "objects.h"
#include "operator/core/failure_policy.h"
#include "operator/core/observed.h"
#include "operator/core/pod_attempts.h"
#include "pod/pod_contract.h"

namespace muster::sim {
namespace {

using op::api::JobStatus;

constexpr std::size_t kViolationsMax = 10;
constexpr std::uint64_t kWritesMax = 5000;  // of a life: several times of what one needs
constexpr std::chrono::seconds kTold{60};   // a watch is at most 40 s late
const std::string kLease = std::string(kOwnNamespace) + "/" + kLeaseName;
constexpr const char* kDeadlines[] = {"activeDeadlineSeconds", "pendingDeadlineSeconds",
                                      "progressDeadlineSeconds"};
constexpr const char* kKinds[] = {"distributedjobs", "federatedrounds"};

std::string label(const Json& pod, const char* name) { return text(member(pod, "metadata", "labels", name)); }

std::string node_of(const Json& pod) { return text(member(pod, "spec", "nodeName")); }

bool is_lost(const Json& node) { return !member(node, "spec", "taints").is_null(); }

bool is_training(const Json& object) {
  return object["kind"] == "DistributedJob" && member(object, "spec", "training").is_object();
}

JobStatus status_of(const Json& object) { return op::api::status_from_json(member(object, "status")); }

std::int64_t limit_of(const Json& object) {
  return integer(member(object, "spec", "runPolicy", "maxRestarts"), 3);
}

// What counts is then for its user to say, or for a clock.
bool is_ruled(const Json& object) {
  const Json& policy = member(object, "spec", "runPolicy");
  return policy.contains("failurePolicy") || policy.contains("progressDeadlineSeconds");
}

// What was refused before anything ran is looked at again once it is edited.
bool may_be_mended(const JobStatus& status) {
  const op::api::Condition* failed = op::api::find_condition(status.conditions, "Failed");
  return failed != nullptr && failed->reason == "InvalidSpec";
}

}  // namespace

Checker::Checker(VirtualThreads& threads, ApiStore& store) : threads_(threads), store_(store) {
  store_.listen([this](const std::string& resource, const Json* before, const Json* after) {
    if (resource == "pods") pod_changed(before, after);
    if (resource == "nodes" && after != nullptr) node_changed(*after);
    if ((resource == kKinds[0] || resource == kKinds[1]) && after != nullptr) object_changed(before, *after);
  });
}

void Checker::violation(const std::string& what) {
  if (violations_.size() < kViolationsMax)
    violations_.push_back(
        fmt::format("{:.3f} s: {}", std::chrono::duration<double>(threads_.now()).count(), what));
}

// Whether another could lead is not asked: a right ends before that.
void Checker::begins(int replica, const ApiRequest& write) {
  if (write.resource == "leases") return;
  const Json* lease = store_.find("leases", kLease);
  const std::string holder = lease == nullptr ? "nobody" : holder_of(*lease);
  const auto right = rights_.find(replica);
  const bool in_time = right != rights_.end() && threads_.now() < right->second;
  if (holder == identity_of(replica) && in_time) return;
  violation(fmt::format("{} begins to {} {} {}, but {}", identity_of(replica), write.verb, write.resource,
                        write.key(), in_time ? "\"" + holder + "\" holds the Lease" : "its right has ended"));
}

void Checker::note_lease(const Write& write) {
  const Json* lease = store_.find("leases", kLease);
  if (write.status >= 300 || lease == nullptr || holder_of(*lease) != identity_of(write.replica)) return;
  Nanos& until = rights_[write.replica];
  until = std::max<Nanos>(until, write.begun + kube::LeaderElection::Options{}.renew_deadline);
}

// A pod goes before its incarnation is over only with its object. Whether the server does it, is seen by
// wrote().
void Checker::arrives(const ApiRequest& write) {
  suspect_.clear();
  if (write.verb != "delete" || write.resource != "pods") return;
  const Json* pod = store_.find("pods", write.key());
  if (pod == nullptr || label(*pod, kRoleLabel) == "client") return;
  const auto seen = op::pod_from_json(*pod, label(*pod, kJobUidLabel));
  if (!seen || op::fate_of(*seen) != op::PodFate::kAlive) return;
  const JobStatus& status = lives_[label(*pod, kJobUidLabel)].status;
  if (op::is_replaced(status, *seen)) return;  // alone; see check_replacements
  const bool ours = !seen->ca.empty();
  const bool is_member = std::ranges::any_of(
      status.roster, [&](const op::api::RosterMember& each) { return each.uid == seen->uid; });
  if (ours && !is_member && lives_[label(*pod, kJobUidLabel)].excused) return;  // scaled down
  if (!status.finished() && status.phase != "Suspended" && status.incarnation == seen->incarnation)
    suspect_ =
        fmt::format("{} is deleted, a live pod of the present incarnation {}", seen->name, seen->incarnation);
}

void Checker::wrote(const Write& write) {
  if (!suspect_.empty() && write.status == 200) violation(suspect_);
  suspect_.clear();
  if (write.request.resource == "leases") note_lease(write);
  if (write.request.resource == "events" || write.request.resource == "leases") return;
  if (++writes_ == kWritesMax) violation(fmt::format("{} writes: passes wake each other", kWritesMax));
  last_write_ = fmt::format("{} {} {}", write.request.verb, write.request.resource, write.request.key());
}

void Checker::object_changed(const Json* before, const Json& after) {
  Life& life = lives_[meta_text(after, "uid")];
  if (before == nullptr) return;
  check_progress_of_life(fmt::format("{} {}", text(member(after, "kind")), meta_text(after, "name")), after,
                         life);
}

void Checker::check_progress_of_life(const std::string& who, const Json& object, Life& life) {
  const JobStatus now = status_of(object);
  const JobStatus& last = life.status;
  if (now == last) return;
  if (now.restarts > limit_of(object))
    violation(fmt::format("{}: {} restarts, maxRestarts is {}", who, now.restarts, limit_of(object)));
  if (now.restarts < last.restarts || now.disruptions < last.disruptions)
    violation(fmt::format("{}: counters go back: restarts {} -> {}, disruptions {} -> {}", who, last.restarts,
                          now.restarts, last.disruptions, now.disruptions));
  if (now.incarnation < last.incarnation || now.membership < last.membership)
    violation(fmt::format("{}: incarnation {} -> {}, membership {} -> {}", who, last.incarnation,
                          now.incarnation, last.membership, now.membership));
  check_membership(who, life, now);
  if (is_training(object)) check_replacements(who, object, last, now);
  if (std::cmp_greater(now.ready_replicas, life.ready_once[now.incarnation].size()))
    violation(fmt::format("{}: {} pods of incarnation {} are said to be ready, {} were ever", who,
                          now.ready_replicas, now.incarnation, life.ready_once[now.incarnation].size()));
  if (last.finished() && !may_be_mended(last) &&
      (now.phase != last.phase || now.completion_time != last.completion_time))
    violation(fmt::format("{}: {} was final, and is {}", who, last.phase, now.phase));
  if (is_true(now.conditions, "Succeeded") && is_true(now.conditions, "Failed"))
    violation(fmt::format("{}: both Succeeded and Failed", who));
  if (now.incarnation > last.incarnation && last.incarnation > 0) {
    check_restart(who, object, life, now);
    life.excused = false;
  }
  life.status = now;
}

// One roster a number, for ever; and ranks are given to pods that there are.
void Checker::check_membership(const std::string& who, Life& life, const JobStatus& now) {
  if (now.roster.empty()) return;
  std::vector<std::string> uids;
  for (const auto& member : now.roster) uids.push_back(member.uid);
  const auto [known, fresh] = life.rosters.try_emplace(now.membership, uids);
  if (!fresh && known->second != uids)
    violation(fmt::format("{}: two rosters of membership {}", who, now.membership));
  if (std::set(uids.begin(), uids.end()).size() != uids.size())
    violation(fmt::format("{}: a pod has two ranks in membership {}", who, now.membership));
  if (std::cmp_greater(now.holders, uids.size()))
    violation(fmt::format("{}: {} of {} members hold the state", who, now.holders, uids.size()));
}

void Checker::configured(const std::string& job, const control::v1::Assignment& assignment) {
  if (!assignment.has_worker()) return;
  std::vector<std::string> uids;
  const auto& told = assignment.worker();
  uids.reserve(static_cast<std::size_t>(told.roster_size()));
  for (int rank = 0; rank < told.roster_size() - told.servers(); ++rank)
    uids.push_back(told.roster(rank).pod_uid());
  const auto& rosters = lives_[job].rosters;
  const auto known = rosters.find(assignment.membership());
  if (known == rosters.end() || known->second != uids)
    violation(fmt::format("a worker of {} is told of membership {}, and the status of {}", job,
                          assignment.membership(), known == rosters.end() ? "none" : "another roster"));
}

bool Checker::may_be_replaced(const Json& pod) const {
  const bool avoids = !text(member(pod, "metadata", "annotations", op::kAvoidsAnnotation)).empty();
  return amiss_.contains(meta_text(pod, "uid")) || avoids;  // which a pod may do in vain, as was seen earlier
}

// How many of the role that are replaced have failed.
std::int64_t Checker::newly_replaced(const std::string& who, const Json& object, const std::string& role,
                                     const std::vector<op::api::PodAttempt>& last,
                                     const std::vector<op::api::PodAttempt>& now) {
  std::int64_t failed = 0;
  for (const op::api::PodAttempt& attempt : now) {
    const auto before = std::ranges::find(last, attempt.index, &op::api::PodAttempt::index);
    if (before != last.end() && before->attempt == attempt.attempt) continue;
    for (const Json* each : store_.all("pods")) {
      const auto pod = op::pod_from_json(*each, meta_text(object, "uid"));
      if (!pod || pod->index != attempt.index || pod->role != role) continue;
      if (!may_be_replaced(*each)) violation(fmt::format("{}: {} is replaced, and was well", who, pod->name));
      if (op::fate_of(*pod) == op::PodFate::kFailed && !op::lost_a_peer(*pod)) ++failed;
    }
  }
  return failed;
}

// Nobody is replaced because another was lost; and a failure counts, once for those within ten seconds.
void Checker::check_replacements(const std::string& who, const Json& object, const JobStatus& last,
                                 const JobStatus& now) {
  const std::int64_t failed =
      newly_replaced(who, object, "worker", last.pod_attempts, now.pod_attempts) +
      newly_replaced(who, object, "server", last.server_attempts, now.server_attempts);
  if (is_ruled(object)) return;
  const Nanos struck = lives_[meta_text(object, "uid")].struck;  // what that does to others does not count
  if (struck.count() > 0 && threads_.now() - struck < kTold) return;
  const std::int64_t counted = now.restarts - last.restarts;
  const bool of_one_cause =
      last.last_failure_time && now.last_failure_time &&
      threads_.wall() - *last.last_failure_time < std::chrono::seconds(30);  // clocks are skewed
  if (now.incarnation == last.incarnation && failed > 0 && counted == 0 && !of_one_cause && !now.finished())
    violation(fmt::format("{}: {} workers failed and are replaced, not counted", who, failed));
  if (now.incarnation == last.incarnation && counted > failed)
    violation(fmt::format("{}: {} workers failed and are replaced, counted {} times", who, failed, counted));
}

// Of an incarnation that all ends of pods point the same way, the count is known.
void Checker::check_restart(const std::string& who, const Json& object, const Life& life,
                            const JobStatus& now) {
  if (is_ruled(object)) return;
  const auto found = life.ends.find(life.status.incarnation);
  const Ends ends = found == life.ends.end() ? Ends{} : found->second;
  const std::int64_t restarts = now.restarts - life.status.restarts;
  const std::int64_t disruptions = now.disruptions - life.status.disruptions;
  const std::string counted = fmt::format(
      "{}: incarnation {} ended with {} failures, {} disruptions, {} lost peers: restarts +{}, disruptions "
      "+{}",
      who, life.status.incarnation, ends.crashes, ends.disruptions, ends.lost_peers, restarts, disruptions);
  if (restarts + disruptions > 1) return violation(counted + ", counted twice");
  const bool federated = object["kind"] == "FederatedRound";
  if (life.excused) return;
  if (now.phase == "Suspended") return;
  if (ends.crashes == 0 && ends.lost_peers == 0 && restarts > 0)
    return violation(counted + ", without a failure");
  if (ends.crashes + ends.disruptions + ends.lost_peers == 0 && !federated)
    return violation(counted + ", without a cause");
  // Of those that wait for the cause of a lost peer, whoever is told of it too late may take it for another.
  if (is_training(object)) return;  // each failure has its own count: see check_replacements
  const bool in_time = ends.lost_peers == 0 || threads_.now() - ends.crashed_at > kTold;
  if (ends.crashes > 0 && ends.disruptions == 0 && in_time && restarts != 1)
    return violation(counted + ", not counted");
}

void Checker::pod_changed(const Json* before, const Json* after) {
  if (before == nullptr) return check_only_one(*after);
  note_end(*before, after);
  if (after == nullptr || node_of(*after) == node_of(*before)) return;
  const Json* node = store_.find("nodes", node_of(*after));
  if (node != nullptr && is_broken(*node)) note_broken_node(*after);
}

void Checker::node_changed(const Json& node) {
  if (is_lost(node))
    for (const Json* pod : store_.all("pods"))
      if (node_of(*pod) == meta_text(node, "name")) amiss_.insert(meta_text(*pod, "uid"));
  if (!is_broken(node)) return;
  for (const Json* pod : store_.all("pods"))
    if (node_of(*pod) == meta_text(node, "name")) note_broken_node(*pod);
}

// Its incarnation may be replaced, or the node is well again before anybody has looked. A program that has
// failed there before may be the first to tell of what the node has.
void Checker::note_broken_node(const Json& pod) {
  amiss_.insert(meta_text(pod, "uid"));
  lives_[label(pod, kJobUidLabel)].struck = threads_.now();
  if (label(pod, kRoleLabel) == "client" || text(member(pod, "status", "phase")) == "Succeeded") return;
  const std::string owner = label(pod, kJobUidLabel);
  if (const auto seen = op::pod_from_json(pod, owner)) ++lives_[owner].ends[seen->incarnation].disruptions;
}

void Checker::check_only_one(const Json& pod) {
  for (const Json* other : store_.all("pods")) {
    if (meta_text(*other, "uid") == meta_text(pod, "uid")) continue;
    if (label(*other, kJobUidLabel) == label(pod, kJobUidLabel) &&
        label(*other, kRoleLabel) == label(pod, kRoleLabel) &&
        label(*other, kIndexLabel) == label(pod, kIndexLabel))
      violation(fmt::format("{} and {} are the same {} {}", meta_text(*other, "name"), meta_text(pod, "name"),
                            label(pod, kRoleLabel), label(pod, kIndexLabel)));
  }
}

// The first time that something is amiss with a pod. Clients of a federation do not end an incarnation.
void Checker::note_end(const Json& before, const Json* after) {
  const std::string owner = label(before, kJobUidLabel);
  if (after != nullptr) {
    const auto pod = op::pod_from_json(*after, owner);
    if (pod && op::fate_of(*pod) != op::PodFate::kAlive) amiss_.insert(pod->uid);
    if (pod && pod->ready) lives_[owner].ready_once[pod->incarnation].insert(pod->uid);
  }
  if (label(before, kRoleLabel) == "client") return;
  const auto was = op::pod_from_json(before, owner);
  if (!was) return;
  Ends& ends = lives_[owner].ends[was->incarnation];
  if (after == nullptr) {  // whoever has not seen how it ended sees no more than that it is gone
    ++ends.disruptions;
    return;
  }
  if (op::fate_of(*was) != op::PodFate::kAlive) return;
  const auto now = op::pod_from_json(*after, owner);
  if (!now) return;
  if (op::fate_of(*now) == op::PodFate::kDisrupted) ++ends.disruptions;
  if (op::fate_of(*now) != op::PodFate::kFailed) return;
  const bool ours = !now->ca.empty();
  if (ours && op::lost_a_peer(*now)) {
    ++ends.lost_peers;
  } else {
    ++ends.crashes;
    ends.crashed_at = threads_.now();
  }
}

Checker::Findings Checker::not_steady() const {
  Findings found;
  for (const char* kind : kKinds) {
    for (const Json* object : store_.all(kind)) {
      const JobStatus status = status_of(*object);
      const std::string who = fmt::format("{} is {}", meta_text(*object, "name"), status.phase);
      if (status.finished()) continue;
      std::int64_t ready = 0;
      for (const Json* pod : store_.all("pods")) {
        const auto seen = op::pod_from_json(*pod, meta_text(*object, "uid"));
        if (seen && seen->ready && op::fate_of(*seen) == op::PodFate::kAlive) ++ready;
      }
      if (status.ready_replicas != ready)
        found.push_back(
            fmt::format("{}: readyReplicas {}, but {} pods are ready", who, status.ready_replicas, ready));
      const bool wanted = !boolean(member(*object, "spec", "suspend"));
      if (wanted && is_training(*object) &&
          std::ssize(status.roster) != integer(member(*object, "spec", "workers", "replicas")))
        found.push_back(fmt::format("{}: {} members", who, status.roster.size()));
      if (wanted && status.phase != "Running")
        found.push_back(who + ", not Running, long after the last fault");
      if (wanted && !is_true(status.conditions, "PodsReady") && !is_true(status.conditions, "ClientsAway"))
        found.push_back(who + ": PodsReady is not True, long after the last fault");
    }
  }
  return found;
}

Checker::Findings Checker::not_finished() const {
  Findings found;
  for (const char* kind : kKinds) {
    for (const Json* object : store_.all(kind)) {
      const JobStatus status = status_of(*object);
      const std::string who = fmt::format("{} is {}", meta_text(*object, "name"), status.phase);
      if (!status.finished()) {
        found.push_back(
            who + ", and has not ended, long after the last fault: " + member(*object, "status").dump());
        continue;
      }
      const std::string policy = text(member(*object, "spec", "runPolicy", "cleanPodPolicy"), "Running");
      for (const Json* pod : store_.all("pods")) {
        if (owner_of(*pod) != meta_text(*object, "uid")) continue;
        if (policy == "All" || (policy == "Running" && !has_ended(*pod)))
          found.push_back(fmt::format("{}: pod {} ({}) is left, cleanPodPolicy is {}", who,
                                      meta_text(*pod, "name"), text(member(*pod, "status", "phase")),
                                      policy));
      }
    }
  }
  return found;
}

// A federation looks again after minutes at clients that are away.
bool Checker::awaits_a_deadline() const {
  for (const char* kind : kKinds)
    for (const Json* object : store_.all(kind))
      if (!status_of(*object).finished() &&
          (kind == kKinds[1] || std::ranges::any_of(kDeadlines, [&](const char* name) {
             return member(*object, "spec", "runPolicy").contains(name);
           })))
        return true;
  return false;
}

Checker::Findings Checker::left_over() const {
  Findings found;
  for (const char* resource :
       {"distributedjobs", "federatedrounds", "pods", "services", "secrets", "podgroups"})
    for (const Json* object : store_.all(resource))
      if (meta_text(*object, "namespace") == "team")
        found.push_back(
            fmt::format("{} {} is left after everything was deleted", resource, meta_text(*object, "name")));
  return found;
}

}  // namespace muster::sim
