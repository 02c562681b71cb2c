// local/api/builtin_admission.cc: see builtin_admission.h
#include "local/api/builtin_admission.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "local/api/builtin_defaults.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

constexpr int kNodePortFirst = 30'000;
constexpr int kNodePorts = 2'768;

ApiError refuse_pod(const Json& pod, const std::string& why) {
  return ApiError::forbidden("pods", meta_text(pod, "name"), why);
}

// Access to the API, in every container that has not its own, unless pod or account want none.
void add_api_access(Json& spec, const Json& account) {
  constexpr const char* kPath = "/var/run/secrets/kubernetes.io/serviceaccount";
  const char* wanted = "automountServiceAccountToken";
  if (spec.value(wanted, account.value(wanted, Json(true))) == Json(false)) return;
  const std::string name = "kube-api-access-" + random_suffix();
  bool used = false;
  for (const char* list : {"containers", "initContainers"}) {
    if (!spec.contains(list)) continue;
    for (Json& container : spec[list]) {
      if (!container.is_object()) continue;
      const Json& mounts = array_of(container, "volumeMounts");
      if (std::ranges::any_of(mounts,
                              [&](const Json& mount) { return text_at(mount, "mountPath") == kPath; }))
        continue;
      container["volumeMounts"].push_back(Json{{"name", name}, {"mountPath", kPath}, {"readOnly", true}});
      used = true;
    }
  }
  if (!used) return;
  const Json token{{"serviceAccountToken", {{"expirationSeconds", 3607}, {"path", "token"}}}};
  const Json certificate{
      {"configMap",
       {{"name", "kube-root-ca.crt"}, {"items", Json::array({{{"key", "ca.crt"}, {"path", "ca.crt"}}})}}}};
  const Json name_space{
      {"downwardAPI",
       {{"items",
         Json::array({{{"path", "namespace"},
                       {"fieldRef", {{"apiVersion", "v1"}, {"fieldPath", "metadata.namespace"}}}}})}}}};
  spec["volumes"].push_back(Json{
      {"name", name},
      {"projected", {{"defaultMode", 420}, {"sources", Json::array({token, certificate, name_space})}}}});
}

ApiStatus admit_pod(const ObjectStore& store, Json& pod) {
  if (!pod.contains("spec") || !pod["spec"].is_object()) return {};
  Json& spec = pod["spec"];
  const std::string ns = meta_text(pod, "namespace");
  // The default account of a namespace comes soon after it: nobody has to wait for that here.
  const std::string account = text_at(spec, "serviceAccountName");
  const ObjectPtr found_account = store.get("serviceaccounts", ns, account);
  if (!found_account && account != "default")
    return refuse_pod(
        pod, fmt::format("error looking up service account {}/{}: serviceaccount \"{}\" not found", ns,
                         account, account));
  add_api_access(spec, found_account ? found_account->json() : Json::object());
  const std::string name = text_at(spec, "priorityClassName");
  if (name.empty()) return {};
  const ObjectPtr found = store.get("priorityclasses.scheduling.k8s.io", "", name);
  if (!found) return refuse_pod(pod, fmt::format("no PriorityClass with name {} was found", name));
  const Json priority = found->json();
  spec["priority"] = priority.value("value", Json(0));
  spec["preemptionPolicy"] = priority.value("preemptionPolicy", Json("PreemptLowerPriority"));
  return {};
}

// A status without news, as Go writes the members that are not optional.
Json empty_status(const std::string& kind) {
  static const std::map<std::string, Json> kStatuses = {
      {"Deployment", Json::object()},
      {"Job", Json::object()},
      {"Node",
       {{"daemonEndpoints", {{"kubeletEndpoint", {{"Port", 0}}}}},
        {"nodeInfo",
         {{"architecture", ""},
          {"bootID", ""},
          {"containerRuntimeVersion", ""},
          {"kernelVersion", ""},
          {"kubeProxyVersion", ""},
          {"kubeletVersion", ""},
          {"machineID", ""},
          {"operatingSystem", ""},
          {"osImage", ""},
          {"systemUUID", ""}}}}},
      {"PodDisruptionBudget",
       {{"currentHealthy", 0}, {"desiredHealthy", 0}, {"disruptionsAllowed", 0}, {"expectedPods", 0}}},
      {"ReplicaSet", {{"replicas", 0}}},
      {"ResourceQuota", Json::object()},
  };
  const auto it = kStatuses.find(kind);
  return it == kStatuses.end() ? Json() : it->second;
}

// Its pods are told from those of every other Job by its uid.
void complete_job(Json& job) {
  Json& spec = job["spec"];
  if (spec.value("manualSelector", Json(false)) == Json(true)) return;
  const std::string uid = meta_text(job, "uid"), name = meta_text(job, "name");
  const Json marks{{"batch.kubernetes.io/controller-uid", uid},
                   {"batch.kubernetes.io/job-name", name},
                   {"controller-uid", uid},
                   {"job-name", name}};
  Json& labels = spec["template"]["metadata"]["labels"];
  if (!labels.is_object()) labels = Json::object();
  labels.update(marks);
  if (object_of(object_of(job, "metadata"), "labels").empty()) job["metadata"]["labels"] = labels;
  spec["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"] = uid;
}

std::set<int> node_ports_of(const Json& service) {
  std::set<int> ports;
  for (const Json& port : array_of(object_of(service, "spec"), "ports"))
    if (const auto it = port.find("nodePort"); it != port.end() && it->is_number_integer())
      ports.insert(it->get<int>());
  return ports;
}

bool wants_node_ports(const Json& spec) {
  const std::string type = text_at(spec, "type");
  return type == "NodePort" ||
         (type == "LoadBalancer" && spec.value("allocateLoadBalancerNodePorts", Json(true)) != Json(false));
}

bool has_node_port(const Json& port) { return port.value("nodePort", Json(0)) != Json(0); }

}  // namespace

ApiStatus admit_builtin(const ObjectStore& store, const Kind& kind, Json& object) {
  if (kind.resource() == "pods") return admit_pod(store, object);
  return {};
}

void complete_builtin(const Kind& kind, Json& object) {
  if (kind.kind == "Job" && kind.group == "batch" && object_of(object, "spec").contains("template"))
    complete_job(object);
  if (const Json status = empty_status(kind.kind); !status.is_null()) set_default(object, "status", status);
}

ApiStatus allocate_node_ports(const ObjectStore& store, Json& service, const Json* old) {
  Json& spec = service["spec"];
  if (array_of(spec, "ports").empty()) return {};
  const Json& before =
      old == nullptr ? array_of(Json(), "ports") : array_of(object_of(*old, "spec"), "ports");
  for (Json& port : spec["ports"]) {
    for (const Json& each : before) {
      if (each.value("port", Json()) != port.value("port", Json()) ||
          each.value("protocol", Json()) != port.value("protocol", Json()))
        continue;
      if (wants_node_ports(spec) && !has_node_port(port) && has_node_port(each))
        port["nodePort"] = each["nodePort"];
      if (!wants_node_ports(spec) && text_at(spec, "type") != "LoadBalancer" && has_node_port(port) &&
          port["nodePort"] == each.value("nodePort", Json()))
        port.erase("nodePort");  // it went with the type that had it
    }
  }
  if (!wants_node_ports(spec)) return {};
  std::set<int> taken;
  for (const ObjectPtr& other : store.list("services", "").objects)
    if (other->uid != meta_text(service, "uid") && other->text.find("\"nodePort\"") != std::string::npos)
      taken.merge(node_ports_of(other->json()));
  FieldErrors errors;
  for (std::size_t i = 0; i < spec["ports"].size(); ++i) {
    const Json& port = spec["ports"][i];
    if (!has_node_port(port)) continue;
    const bool in_range =
        port["nodePort"] >= kNodePortFirst && port["nodePort"] < kNodePortFirst + kNodePorts;
    // Two ports of one Service may share a number, by different protocols.
    if (in_range && taken.count(port["nodePort"].get<int>()) == 0) continue;
    errors.push_back(FieldError::invalid(
        fmt::format("spec.ports[{}].nodePort", i), port["nodePort"],
        in_range ? "provided port is already allocated"
                 : fmt::format("provided port is not in the valid range. The range of valid ports is {}-{}",
                               kNodePortFirst, kNodePortFirst + kNodePorts - 1)));
  }
  if (!errors.empty()) return ApiError::invalid("Service", meta_text(service, "name"), errors);
  taken.merge(node_ports_of(service));
  std::size_t next = std::hash<std::string>{}(meta_text(service, "uid"));
  for (Json& port : spec["ports"]) {
    if (has_node_port(port) || taken.size() >= kNodePorts) continue;
    int number = 0;
    do number = kNodePortFirst + static_cast<int>(next++ % kNodePorts);
    while (!taken.insert(number).second);
    port["nodePort"] = number;
  }
  return {};
}

}  // namespace muster::local
