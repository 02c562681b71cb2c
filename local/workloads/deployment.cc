// local/workloads/deployment.cc: rolling update, conditions and revisions
#include "local/workloads/deployment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "local/workloads/owners.h"

namespace muster::local {
namespace {

std::int64_t replicas_of(const Json& object) { return integer(member(object, "spec", "replicas")); }
std::int64_t status_count(const Json& object, const char* name) {
  return integer(member(object, "status", name));
}

// A number, or a percentage of `whole`.
std::int64_t resolve(const Json& value, std::int64_t whole, bool round_up) {
  if (!value.is_string()) return integer(value);
  const std::int64_t share = std::strtoll(value.get<std::string>().c_str(), nullptr, 10) * whole;
  return (share + (round_up ? 99 : 0)) / 100;
}

std::int64_t revision_of(const Json& object) {
  return std::strtoll(text(member(object, "metadata", "annotations", kRevision)).c_str(), nullptr, 10);
}

Json without_hash(Json pod_template) {
  if (!member(pod_template, "metadata", "labels").is_object()) return pod_template;
  pod_template["metadata"]["labels"].erase(kTemplateHash);
  return pod_template;
}

// Letters that make no words, as Kubernetes writes the hash of a template (FNV-1a, 32 bits).
std::string template_hash(const Json& deployment) {
  constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
  std::uint32_t hash = 2166136261U;
  std::string what = member(deployment, "spec", "template").dump();
  if (const std::int64_t collisions = status_count(deployment, "collisionCount"); collisions > 0)
    what += std::to_string(collisions);
  for (const char c : what) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  std::string out = std::to_string(hash);
  for (char& c : out) c = kLetters[static_cast<unsigned char>(c) % kLetters.size()];
  return out;
}

class Rollout {
 public:
  Rollout(const Json& deployment, const std::vector<Json>& replica_sets, WallTime now);
  DeploymentPlan plan();

 private:
  [[nodiscard]] std::int64_t sum_of_specs() const;
  [[nodiscard]] std::int64_t sum(const char* count) const;
  [[nodiscard]] std::int64_t wanted_of_current() const;
  [[nodiscard]] Json new_replica_set() const;
  void scale(const Json& replica_set, std::int64_t to);
  void scale_down_others();
  void remove_history();
  void set_condition(const char* type, bool holds, std::string_view reason, const std::string& message,
                     bool again = false);
  void judge_availability();
  void judge_progress();
  void take_failures();
  [[nodiscard]] bool complete() const;
  [[nodiscard]] bool progressing() const;

  const Json& deployment_;
  const WallTime now_;
  const Json* current_ = nullptr;
  std::vector<const Json*> others_;  // the oldest first
  std::int64_t wanted_ = 0, surge_ = 0, unavailable_ = 0;
  DeploymentPlan plan_;
};

Rollout::Rollout(const Json& deployment, const std::vector<Json>& replica_sets, WallTime now)
    : deployment_(deployment), now_(now), wanted_(replicas_of(deployment)) {
  const Json& rolling = member(deployment, "spec", "strategy", "rollingUpdate");
  surge_ = resolve(member(rolling, "maxSurge"), wanted_, true);
  unavailable_ = std::min(resolve(member(rolling, "maxUnavailable"), wanted_, false), wanted_);
  if (surge_ == 0 && unavailable_ == 0) unavailable_ = 1;  // percentages of few pods; something must move
  std::vector<const Json*> sets;
  sets.reserve(replica_sets.size());
  for (const Json& each : replica_sets) sets.push_back(&each);
  std::ranges::stable_sort(
      sets, {}, [](const Json* set) { return text(member(*set, "metadata", "creationTimestamp")); });
  const Json wanted_template = without_hash(member(deployment, "spec", "template"));
  for (const Json* set : sets) {
    const bool same = !current_ && without_hash(member(*set, "spec", "template")) == wanted_template;
    if (same)
      current_ = set;
    else
      others_.push_back(set);
  }
}

std::int64_t Rollout::sum_of_specs() const {
  std::int64_t out = current_ ? replicas_of(*current_) : 0;
  for (const Json* set : others_) out += replicas_of(*set);
  return out;
}

std::int64_t Rollout::sum(const char* count) const {
  std::int64_t out = current_ ? status_count(*current_, count) : 0;
  for (const Json* set : others_) out += status_count(*set, count);
  return out;
}

// As many as maxSurge leaves room for beside the others.
std::int64_t Rollout::wanted_of_current() const {
  const std::int64_t now = current_ ? replicas_of(*current_) : 0;
  if (now >= wanted_) return wanted_;
  const std::int64_t room = wanted_ + surge_ - sum_of_specs();
  return now + std::clamp<std::int64_t>(room, 0, wanted_ - now);
}

Json Rollout::new_replica_set() const {
  const std::string hash = template_hash(deployment_);
  Json pod_template = member(deployment_, "spec", "template");
  pod_template["metadata"]["labels"][kTemplateHash] = hash;
  Json selector = member(deployment_, "spec", "selector");
  selector["matchLabels"][kTemplateHash] = hash;
  Json annotations = Json::object();
  for (const auto& [key, value] : member(deployment_, "metadata", "annotations").items())
    if (key != "kubectl.kubernetes.io/last-applied-configuration" && key != kRevision)
      annotations[key] = value;
  annotations[kRevision] = plan_.revision;
  Json spec{{"replicas", wanted_of_current()}, {"selector", selector}, {"template", pod_template}};
  if (const auto proof = integer(member(deployment_, "spec", "minReadySeconds")); proof > 0)
    spec["minReadySeconds"] = proof;
  return {{"apiVersion", "apps/v1"},
          {"kind", "ReplicaSet"},
          {"metadata",
           {{"name", fmt::format("{}-{}", name_of(deployment_), hash)},
            {"labels", pod_template["metadata"]["labels"]},
            {"annotations", annotations},
            {"ownerReferences", Json::array({controller_reference(deployment_, "Deployment")})}}},
          {"spec", spec}};
}

void Rollout::scale(const Json& replica_set, std::int64_t to) {
  if (const std::int64_t from = replicas_of(replica_set); from != to)
    plan_.scale.push_back({name_of(replica_set), from, to});
}

// First pods that are of no use, then as many as maxUnavailable spares.
void Rollout::scale_down_others() {
  const std::int64_t least = wanted_ - unavailable_;
  const std::int64_t missing = replicas_of(*current_) - status_count(*current_, "availableReplicas");
  std::int64_t useless = sum_of_specs() - least - missing;
  std::int64_t spare = sum("availableReplicas") - least;
  for (const Json* set : others_) {
    const std::int64_t count = replicas_of(*set);
    const std::int64_t unready = std::max<std::int64_t>(count - status_count(*set, "availableReplicas"), 0);
    const std::int64_t first = std::clamp<std::int64_t>(useless, 0, unready);
    const std::int64_t then = std::clamp<std::int64_t>(std::min(spare, useless - first), 0, count - first);
    useless -= first + then;
    spare -= then;
    scale(*set, count - first - then);
  }
}

void Rollout::remove_history() {
  const Json& limit = member(deployment_, "spec", "revisionHistoryLimit");
  std::vector<const Json*> done;
  for (const Json* set : others_)
    if (!going(*set) && replicas_of(*set) == 0 && status_count(*set, "replicas") == 0) done.push_back(set);
  std::ranges::stable_sort(done, {}, [](const Json* set) { return revision_of(*set); });
  const std::int64_t kept = integer(limit, 10);
  for (std::size_t i = 0; i + static_cast<std::size_t>(kept) < done.size(); ++i)
    plan_.remove.push_back(name_of(*done[i]));
}

// Keeps the condition as it is if status and reason are; `again`: unless its time is to be renewed.
void Rollout::set_condition(const char* type, bool holds, std::string_view reason, const std::string& message,
                            bool again) {
  const std::string status = holds ? "True" : "False";
  const Json before = condition_of(plan_.status, type);
  const bool same_status = text(member(before, "status")) == status;
  if (same_status && text(member(before, "reason")) == reason && !again) return;
  const std::string now = rfc3339(now_);
  Json conditions = Json::array();
  for (const Json& each : member(plan_.status, "conditions"))
    if (text(member(each, "type")) != type) conditions.push_back(each);
  conditions.push_back(
      {{"type", type},
       {"status", status},
       {"lastUpdateTime", now},
       {"lastTransitionTime", same_status ? text(member(before, "lastTransitionTime")) : now},
       {"reason", reason},
       {"message", message}});
  plan_.status["conditions"] = conditions;
}

void Rollout::judge_availability() {
  if (integer(member(plan_.status, "availableReplicas")) >= wanted_ - unavailable_) {
    set_condition("Available", true, "MinimumReplicasAvailable", "Deployment has minimum availability.");
  } else {
    set_condition("Available", false, "MinimumReplicasUnavailable",
                  "Deployment does not have minimum availability.");
  }
}

bool Rollout::complete() const {
  const Json& status = plan_.status;
  for (const char* count : {"replicas", "updatedReplicas", "availableReplicas"})
    if (integer(member(status, count)) != wanted_) return false;
  return true;
}

bool Rollout::progressing() const {
  const auto now = [&](const char* count) { return integer(member(plan_.status, count)); };
  const auto before = [&](const char* count) { return status_count(deployment_, count); };
  return now("updatedReplicas") > before("updatedReplicas") ||
         now("replicas") - now("updatedReplicas") < before("replicas") - before("updatedReplicas") ||
         now("readyReplicas") > before("readyReplicas") ||
         now("availableReplicas") > before("availableReplicas");
}

void Rollout::judge_progress() {
  constexpr std::string_view kDone = "NewReplicaSetAvailable";
  const std::chrono::seconds deadline{integer(member(deployment_, "spec", "progressDeadlineSeconds"), 600)};
  const Json before = condition_of(plan_.status, "Progressing");
  const std::string reason = text(member(before, "reason"));
  const std::string name = plan_.create ? name_of(*plan_.create) : plan_.current;
  if (plan_.create) {
    set_condition("Progressing", true, "NewReplicaSetCreated",
                  fmt::format("Created new replica set \"{}\"", name), true);
  } else if (before.is_null()) {
    set_condition("Progressing", true, "FoundNewReplicaSet",
                  fmt::format("Found new replica set \"{}\"", name));
  } else if (reason == kDone && member(plan_.status, "replicas") == member(plan_.status, "updatedReplicas")) {
    return;  // pods that fail later are no rollout
  } else if (complete()) {
    set_condition("Progressing", true, kDone,
                  fmt::format("ReplicaSet \"{}\" has successfully progressed.", name));
  } else if (progressing()) {
    set_condition("Progressing", true, "ReplicaSetUpdated",
                  fmt::format("ReplicaSet \"{}\" is progressing.", name), true);
  } else if (reason != kDone && reason != "ProgressDeadlineExceeded") {
    const WallTime end = time_of(before, "lastUpdateTime").value_or(now_) + deadline;
    if (end > now_) {
      plan_.again = end;
    } else {
      set_condition("Progressing", false, "ProgressDeadlineExceeded",
                    fmt::format("ReplicaSet \"{}\" has timed out progressing.", name));
    }
  }
}

// Why pods cannot be created is said by the Deployment, too.
void Rollout::take_failures() {
  Json found;
  if (current_) found = condition_of(member(*current_, "status"), "ReplicaFailure");
  for (const Json* set : others_)
    if (found.is_null()) found = condition_of(member(*set, "status"), "ReplicaFailure");
  if (!found.is_null())
    return set_condition("ReplicaFailure", true, text(member(found, "reason")),
                         text(member(found, "message")),
                         text(member(condition_of(plan_.status, "ReplicaFailure"), "message")) !=
                             text(member(found, "message")));
  Json kept = Json::array();
  for (const Json& each : member(plan_.status, "conditions"))
    if (text(member(each, "type")) != "ReplicaFailure") kept.push_back(each);
  if (!kept.empty()) plan_.status["conditions"] = kept;
}

DeploymentPlan Rollout::plan() {
  std::int64_t newest = 0;
  for (const Json* set : others_) newest = std::max(newest, revision_of(*set));
  if (current_) plan_.current = name_of(*current_);
  plan_.revision = std::to_string(std::max(newest + 1, current_ ? revision_of(*current_) : 0));
  if (!going(deployment_)) {
    if (!current_) plan_.create = new_replica_set();
    if (current_) scale(*current_, wanted_of_current());
    if (current_ && plan_.scale.empty()) scale_down_others();
  }
  Json& status = plan_.status = Json::object();
  if (const Json& kept = member(deployment_, "status", "conditions"); kept.is_array())
    status["conditions"] = kept;
  const std::int64_t available = sum("availableReplicas");
  set_count(status, "observedGeneration", integer(member(deployment_, "metadata", "generation")));
  set_count(status, "replicas", sum("replicas"));
  set_count(status, "updatedReplicas", current_ ? status_count(*current_, "replicas") : 0);
  set_count(status, "readyReplicas", sum("readyReplicas"));
  set_count(status, "availableReplicas", available);
  set_count(status, "unavailableReplicas", std::max<std::int64_t>(sum_of_specs() - available, 0));
  set_count(status, "collisionCount", status_count(deployment_, "collisionCount"));
  if (going(deployment_)) return std::move(plan_);
  judge_availability();
  judge_progress();
  take_failures();
  if (complete()) remove_history();
  return std::move(plan_);
}

}  // namespace

DeploymentPlan plan_deployment(const Json& deployment, const std::vector<Json>& replica_sets, WallTime now) {
  return Rollout(deployment, replica_sets, now).plan();
}

}  // namespace muster::local
