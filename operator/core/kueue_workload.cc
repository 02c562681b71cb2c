// operator/core/kueue_workload.cc: a Workload of Kueue: what it asks for, what it says, how its status is
// told
#include "operator/core/kueue_workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "common/base/rfc3339.h"
#include "common/base/text.h"
#include "common/json/access.h"
#include "operator/core/pod_plan.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

constexpr const char* kSetsAnnotation = "muster.dev/pod-sets";  // fingerprint of what the Workload asks for
constexpr const char* kFirstVersion = "v1beta1";                // before v1beta2

// FNV-1a: the same in every build of the operator.
std::string fingerprint(const std::string& text) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return fmt::format("{:016x}", hash);
}

Json picked(const Json& from, std::initializer_list<const char*> names) {
  Json taken = Json::object();
  for (const char* name : names)
    if (const Json& value = member(from, name); !value.is_null()) taken[name] = value;
  return taken;
}

// What quota and flavors are judged by; the rest of a pod is its own business, and large.
Json spec_for_queue(const Json& pod) {
  const Json& spec = member(pod, "spec");
  Json told =
      picked(spec, {"nodeSelector", "affinity", "tolerations", "priorityClassName", "runtimeClassName",
                    "overhead", "resources", "resourceClaims", "schedulerName", "topologySpreadConstraints"});
  for (const char* list : {"initContainers", "containers"}) {
    const Json& containers = member(spec, list);
    if (!containers.is_array()) continue;
    told[list] = Json::array();
    for (const Json& container : containers)
      told[list].push_back(picked(container, {"name", "resources", "restartPolicy"}));
  }
  return told;
}

Json topology_request(const Json& pod) {
  const Json& annotations = member(pod, "metadata", "annotations");
  Json request = Json::object();
  for (const char* level : {"required", "preferred"})
    if (const Json& value = member(annotations, fmt::format("kueue.x-k8s.io/podset-{}-topology", level));
        value.is_string())
      request[level] = value;
  if (text_at(annotations, "kueue.x-k8s.io/podset-unconstrained-topology") == "true")
    request["unconstrained"] = true;
  if (!request.empty()) request["podIndexLabel"] = kIndexLabel;
  return request;
}

Json pod_sets_of(const std::vector<PodSet>& sets) {
  Json list = Json::array();
  for (const PodSet& set : sets) {
    Json entry{{"name", set.role}, {"count", set.count}, {"template", {{"spec", spec_for_queue(set.pod)}}}};
    if (Json request = topology_request(set.pod); !request.empty())
      entry["topologyRequest"] = std::move(request);
    list.push_back(std::move(entry));
  }
  return list;
}

void put_priority(const QueuePriority& priority, const std::string& version, Json& spec) {
  if (priority.name.empty()) return;
  const bool kueues = priority.group == "kueue.x-k8s.io";
  if (version == kFirstVersion) {
    spec["priorityClassName"] = priority.name;
    spec["priorityClassSource"] =
        kueues ? "kueue.x-k8s.io/workloadpriorityclass" : "scheduling.k8s.io/priorityclass";
  } else {
    spec["priorityClassRef"] = {{"group", priority.group},
                                {"kind", kueues ? "WorkloadPriorityClass" : "PriorityClass"},
                                {"name", priority.name}};
  }
  spec["priority"] = priority.value.value_or(0);
}

std::string priority_class_of(const Json& workload) {
  const Json& spec = member(workload, "spec");
  const Json& reference = member(spec, "priorityClassRef");
  return reference.is_object() ? text_at(reference, "name") : text_at(spec, "priorityClassName");
}

}  // namespace

const Json* workload_condition(const Json& workload, std::string_view type) {
  const Json& list = member(workload, "status", "conditions");
  if (!list.is_array()) return nullptr;
  for (const Json& each : list)
    if (text_at(each, "type") == type) return &each;
  return nullptr;
}

bool holds(const Json& workload, std::string_view type) {
  const Json* condition = workload_condition(workload, type);
  return condition != nullptr && text_at(*condition, "status") == "True";
}

std::string message_of(const Json& workload, std::string_view type) {
  const Json* condition = workload_condition(workload, type);
  return condition == nullptr ? "" : printable(text_at(*condition, "message"));
}

std::string workload_name(const std::string& kind, const std::string& name, const std::string& uid) {
  std::string lower = kind;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return fmt::format("{}-{}-{}", lower, name, uid.substr(0, 5));
}

CreateChild workload_of(const Pass& pass, const std::vector<PodSet>& sets) {
  const ApiKind& api = *pass.seen.scheduling.queue.kind;
  Json metadata =
      child_metadata(pass.meta, pass.kind, workload_name(pass.kind, pass.meta.name, pass.meta.uid));
  Json pod_sets = pod_sets_of(sets);
  metadata["labels"]["kueue.x-k8s.io/job-uid"] = pass.meta.uid;
  metadata["annotations"][kSetsAnnotation] = fingerprint(pod_sets.dump());
  Json spec{{"queueName", pass.meta.queue}, {"podSets", std::move(pod_sets)}};
  put_priority(pass.seen.scheduling.priority, api.version, spec);
  return {.api = api,
          .manifest = {{"apiVersion", api.group + "/" + api.version},
                       {"kind", api.kind},
                       {"metadata", std::move(metadata)},
                       {"spec", std::move(spec)}}};
}

// It asks for something else than the object does now.
bool is_outdated(const Pass& pass, const Json& workload, const std::vector<PodSet>& sets) {
  const std::string asked = text(member(workload, "metadata", "annotations", kSetsAnnotation));
  if (asked != fingerprint(pod_sets_of(sets).dump()) || holds(workload, "Finished")) return true;
  if (holds(workload, "QuotaReserved")) return false;  // queue and priority stay until it is queued anew
  const std::string& priority = pass.meta.queue_priority;
  return text(member(workload, "spec", "queueName")) != pass.meta.queue ||
         (!priority.empty() && priority != priority_class_of(workload));
}

std::set<std::string> flavors_of(const Json& workload) {
  std::set<std::string> names;
  const Json& assignments = member(workload, "status", "admission", "podSetAssignments");
  if (!assignments.is_array()) return names;
  for (const Json& assignment : assignments)
    if (const Json& flavors = member(assignment, "flavors"); flavors.is_object())
      for (const auto& [resource, flavor] : flavors.items()) names.insert(text(flavor));
  names.erase("");
  return names;
}

std::int64_t pods_of(const Json& workload) {
  std::int64_t pods = 0;
  if (const Json& sets = member(workload, "spec", "podSets"); sets.is_array())
    for (const Json& set : sets) pods += integer(member(set, "count"), 1);
  return pods;
}

Json changed(const Json& workload, const char* type, bool status, const std::string& reason,
             const std::string& message, WallTime now) {
  Json condition{{"type", type},
                 {"status", status ? "True" : "False"},
                 {"reason", reason},
                 {"message", clip(message, 1024)},
                 {"lastTransitionTime", rfc3339(std::chrono::floor<std::chrono::seconds>(now))},
                 {"observedGeneration", integer(member(workload, "metadata", "generation"))}};
  if (const Json* before = workload_condition(workload, type);
      before != nullptr && text_at(*before, "status") == text_at(condition, "status"))
    condition["lastTransitionTime"] = member(*before, "lastTransitionTime");
  return condition;
}

// One write of its status: `conditions` take the place of those of their types.
void patch_workload(Pass& pass, const Json& workload, const std::vector<Json>& conditions, Json status) {
  Json list = member(workload, "status", "conditions");
  if (!list.is_array()) list = Json::array();
  for (const Json& condition : conditions) {
    const auto same = std::find_if(list.begin(), list.end(), [&](const Json& each) {
      return text_at(each, "type") == text_at(condition, "type");
    });
    if (same == list.end())
      list.push_back(condition);
    else
      *same = condition;
  }
  status["conditions"] = std::move(list);
  pass.act(
      PatchChildStatus{.api = *pass.seen.scheduling.queue.kind,
                       .name = meta_text(workload, "name"),
                       .patch = {{"metadata", {{"resourceVersion", meta_text(workload, "resourceVersion")}}},
                                 {"status", std::move(status)}}});
}

}  // namespace muster::op
