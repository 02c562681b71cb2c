// local/workloads/replica_set.cc: counts pods, and ranks those that are too many
#include "local/workloads/replica_set.h"

#include <algorithm>
#include <tuple>

#include "local/workloads/owners.h"

namespace muster::local {
namespace {

bool counts(const Json& pod) {
  const std::string phase = text(member(pod, "status", "phase"));
  return !going(pod) && phase != "Succeeded" && phase != "Failed";
}

// Since when the pod is ready; nothing if it is not.
std::optional<WallTime> ready_since(const Json& pod) {
  const Json& condition = condition_of(member(pod, "status"), "Ready");
  if (text(member(condition, "status")) != "True") return std::nullopt;
  return time_of(condition, "lastTransitionTime");
}

std::int64_t restarts(const Json& pod) {
  std::int64_t most = 0;
  for (const Json& each : member(pod, "status", "containerStatuses"))
    most = std::max(most, integer(member(each, "restartCount")));
  return most;
}

std::int64_t seconds(std::optional<WallTime> time) {
  return time ? std::chrono::duration_cast<std::chrono::seconds>(time->time_since_epoch()).count() : 0;
}

// The smallest goes first: what does not run yet, what is not ready, what is newest.
auto usefulness(const Json& pod) {
  const std::string phase = text(member(pod, "status", "phase"));
  const auto ready = ready_since(pod);
  return std::tuple(!text(member(pod, "spec", "nodeName")).empty(), phase == "Running", ready.has_value(),
                    -seconds(ready), -restarts(pod),
                    -seconds(time_of(member(pod, "metadata"), "creationTimestamp")));
}

Json failure_conditions(const Json& status, const std::string& failure, WallTime now) {
  Json conditions = Json::array();
  if (failure.empty()) return conditions;
  const Json& before = condition_of(status, "ReplicaFailure");
  const std::string since = text(member(before, "lastTransitionTime"), rfc3339(now));
  conditions.push_back({{"type", "ReplicaFailure"},
                        {"status", "True"},
                        {"lastTransitionTime", since},
                        {"reason", "FailedCreate"},
                        {"message", failure}});
  return conditions;
}

}  // namespace

ReplicaSetPlan plan_replica_set(const Json& replica_set, const std::vector<Json>& pods,
                                const std::string& failure, WallTime now) {
  ReplicaSetPlan plan;
  const std::chrono::seconds proof{integer(member(replica_set, "spec", "minReadySeconds"))};
  std::vector<const Json*> own;
  std::int64_t ready = 0;
  std::int64_t available = 0;
  for (const Json& pod : pods) {
    const bool free = controller_of(pod).is_null();
    if (!counts(pod) || !(controls(replica_set, pod) || (free && !going(replica_set)))) continue;
    if (free) plan.adopt.push_back(name_of(pod));
    own.push_back(&pod);
    const auto since = ready_since(pod);
    if (!since) continue;
    ++ready;
    if (*since + proof <= now) {
      ++available;
    } else {
      plan.again = std::min(plan.again.value_or(*since + proof), *since + proof);
    }
  }
  const auto count = static_cast<std::int64_t>(own.size());
  const std::int64_t wanted =
      going(replica_set) ? count : integer(member(replica_set, "spec", "replicas"), 1);
  plan.create = std::max<std::int64_t>(wanted - count, 0);
  if (wanted < count) {
    std::ranges::stable_sort(own, {}, [](const Json* pod) { return usefulness(*pod); });
    own.resize(static_cast<std::size_t>(count - wanted));
    for (const Json* pod : own) plan.remove.push_back(name_of(*pod));
  }
  plan.status = {{"replicas", count}};
  set_count(plan.status, "fullyLabeledReplicas", count);
  set_count(plan.status, "readyReplicas", ready);
  set_count(plan.status, "availableReplicas", available);
  set_count(plan.status, "observedGeneration", integer(member(replica_set, "metadata", "generation")));
  const Json conditions =
      failure_conditions(member(replica_set, "status"), plan.create > 0 ? failure : "", now);
  if (!conditions.empty()) plan.status["conditions"] = conditions;
  return plan;
}

Json pod_of(const Json& replica_set) {
  const Json& from = member(replica_set, "spec", "template");
  Json metadata{{"generateName", name_of(replica_set) + "-"},
                {"ownerReferences", Json::array({controller_reference(replica_set, "ReplicaSet")})}};
  for (const char* name : {"labels", "annotations", "finalizers"})
    if (const Json& value = member(from, "metadata", name); !value.is_null()) metadata[name] = value;
  return {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", metadata}, {"spec", member(from, "spec")}};
}

}  // namespace muster::local
