// operator/core/kueue_admission.cc: what an admission of Kueue puts into a pod
#include <algorithm>
#include <set>

#include "common/json/access.h"
#include "operator/core/kueue.h"

namespace muster::op {
namespace {

void merge_missing(Json& into, const Json& from) {
  if (!from.is_object()) return;
  if (!into.is_object()) into = Json::object();
  for (const auto& [name, value] : from.items())
    if (!into.contains(name)) into[name] = value;
}

void add_tolerations(Json& spec, const Json& tolerations) {
  if (!tolerations.is_array()) return;
  for (const Json& toleration : tolerations) {
    Json& list = spec["tolerations"];
    if (!list.is_array()) list = Json::array();
    if (std::find(list.begin(), list.end(), toleration) == list.end()) list.push_back(toleration);
  }
}

void apply_checks(const Json& workload, const std::string& role, Json& pod) {
  const Json& checks = member(workload, "status", "admissionChecks");
  if (!checks.is_array()) return;
  for (const Json& check : checks) {
    const Json& updates = member(check, "podSetUpdates");
    if (!updates.is_array()) continue;
    for (const Json& update : updates) {
      if (text_at(update, "name") != role) continue;
      for (const char* of_metadata : {"labels", "annotations"})
        merge_missing(pod["metadata"][of_metadata], member(update, of_metadata));
      merge_missing(pod["spec"]["nodeSelector"], member(update, "nodeSelector"));
      add_tolerations(pod["spec"], member(update, "tolerations"));
    }
  }
}

void apply_assignment(const Pass& pass, const Json& assignment, Json& pod) {
  std::set<std::string> names;
  if (const Json& flavors = member(assignment, "flavors"); flavors.is_object())
    for (const auto& [resource, flavor] : flavors.items()) names.insert(text(flavor));
  for (const std::string& name : names) {
    const auto flavor = pass.seen.scheduling.flavors.find(name);
    if (flavor == pass.seen.scheduling.flavors.end()) continue;
    merge_missing(pod["spec"]["nodeSelector"], member(flavor->second, "spec", "nodeLabels"));
    add_tolerations(pod["spec"], member(flavor->second, "spec", "tolerations"));
  }
  if (!member(assignment, "topologyAssignment").is_object()) return;
  // Kueue itself picks a domain for each such pod, and takes the gate away.
  pod["metadata"]["labels"]["kueue.x-k8s.io/tas"] = "true";
  pod["spec"]["schedulingGates"].push_back({{"name", "kueue.x-k8s.io/topology"}});
}

}  // namespace

void admit(const Pass& pass, const std::string& role, Json& pod) {
  const auto& workload = pass.seen.scheduling.workload.object;
  if (pass.meta.queue.empty() || workload == nullptr) return;
  pod["metadata"]["labels"]["kueue.x-k8s.io/podset"] = role;
  pod["metadata"]["annotations"]["kueue.x-k8s.io/workload"] = meta_text(*workload, "name");
  if (const Json& assignments = member(*workload, "status", "admission", "podSetAssignments");
      assignments.is_array())
    for (const Json& assignment : assignments)
      if (text_at(assignment, "name") == role) apply_assignment(pass, assignment, pod);
  apply_checks(*workload, role, pod);
}

}  // namespace muster::op
