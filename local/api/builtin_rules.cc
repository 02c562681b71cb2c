// local/api/builtin_rules.cc: defaults and normal forms of built-in kinds
#include <fmt/format.h>

#include <algorithm>

#include "common/base/base64.h"
#include "local/api/builtin_defaults.h"
#include "local/api/crd.h"
#include "local/api/kind_rules.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

void canonical_quantities(Json& value, const Schema& schema) {
  if (value.is_string() && schema.format == "quantity") {
    value = canonical_quantity(value.get<std::string>());
  } else if (value.is_number() && schema.format == "quantity") {
    value = canonical_quantity(value.dump());
  } else if (value.is_object()) {
    for (auto& [name, member] : value.items())
      if (const Schema* type = schema.property(name)) canonical_quantities(member, *type);
  } else if (value.is_array() && schema.items) {
    for (Json& item : value) canonical_quantities(item, *schema.items);
  }
}

// Empty maps and lists of optional fields are not written back by the real server.
void drop_empty(Json& object, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (const auto it = object.find(name); it != object.end() && it->is_structured() && it->empty())
      object.erase(it);
}

void default_probe(Json& container, const char* name) {
  if (!container.contains(name)) return;
  Json& probe = container[name];
  set_default(probe, "timeoutSeconds", 1);
  set_default(probe, "periodSeconds", 10);
  set_default(probe, "successThreshold", 1);
  set_default(probe, "failureThreshold", 3);
  if (probe.contains("httpGet")) {
    set_default(probe["httpGet"], "path", "/");
    set_default(probe["httpGet"], "scheme", "HTTP");
  }
  if (probe.contains("grpc")) set_default(probe["grpc"], "service", "");
}

void default_container(Json& container) {
  const std::string image = text_at(container, "image");
  const auto slash = image.rfind('/');
  const auto colon = image.rfind(':');
  const bool tagged = colon != std::string::npos && (slash == std::string::npos || colon > slash);
  const bool latest = image.find('@') == std::string::npos && (!tagged || image.substr(colon) == ":latest");
  set_default(container, "imagePullPolicy", latest ? "Always" : "IfNotPresent");
  set_default(container, "terminationMessagePath", "/dev/termination-log");
  set_default(container, "terminationMessagePolicy", "File");
  set_default(container, "resources", Json::object());
  for (Json& port : container.contains("ports") ? container["ports"] : (container["ports"] = Json::array()))
    set_default(port, "protocol", "TCP");
  for (Json& env : container.contains("env") ? container["env"] : (container["env"] = Json::array()))
    if (env.is_object() && env.contains("valueFrom") && env["valueFrom"].contains("fieldRef"))
      set_default(env["valueFrom"]["fieldRef"], "apiVersion", "v1");
  for (const char* probe : {"livenessProbe", "readinessProbe", "startupProbe"})
    default_probe(container, probe);
  drop_empty(container, {"ports", "env", "command", "args", "volumeMounts", "envFrom"});
  Json& resources = container["resources"];
  if (resources.contains("limits") && resources["limits"].is_object()) {  // requests follow limits
    for (const auto& [name, value] : resources["limits"].items()) {
      if (!resources.contains("requests")) resources["requests"] = Json::object();
      set_default(resources["requests"], name.c_str(), value);
    }
  }
}

void default_volume(Json& volume) {
  for (const char* kind : {"secret", "configMap", "downwardAPI", "projected"})
    if (volume.contains(kind) && volume[kind].is_object()) set_default(volume[kind], "defaultMode", 420);
  if (volume.contains("hostPath") && volume["hostPath"].is_object())
    set_default(volume["hostPath"], "type", "");
  if (volume.size() == 1) volume["emptyDir"] = Json::object();
}

void default_pod_spec(Json& spec, bool pod) {
  set_default(spec, "restartPolicy", "Always");
  set_default(spec, "dnsPolicy", "ClusterFirst");
  set_default(spec, "schedulerName", "default-scheduler");
  set_default(spec, "terminationGracePeriodSeconds", 30);
  set_default(spec, "securityContext", Json::object());
  if (pod) set_default(spec, "enableServiceLinks", true);
  for (const char* list : {"containers", "initContainers"})
    if (spec.contains(list))
      for (Json& container : spec[list])
        if (container.is_object()) default_container(container);
  if (spec.contains("volumes"))
    for (Json& volume : spec["volumes"])
      if (volume.is_object()) default_volume(volume);
  if (!text_at(spec, "serviceAccountName").empty()) spec["serviceAccount"] = spec["serviceAccountName"];
  drop_empty(spec, {"nodeSelector", "volumes", "tolerations", "initContainers", "imagePullSecrets"});
}

// Of pods to come: their metadata is written with the time that it has not.
void default_template(Json& holder) {
  if (!holder.contains("template") || !holder["template"].is_object()) return;
  Json& pod = holder["template"];
  if (!pod["metadata"].is_object()) pod["metadata"] = Json::object();
  pod["metadata"]["creationTimestamp"] = nullptr;
  if (pod.contains("spec") && pod["spec"].is_object()) default_pod_spec(pod["spec"], false);
}

void default_claim(Json& claim) {
  if (claim.contains("spec") && claim["spec"].is_object())
    set_default(claim["spec"], "volumeMode", "Filesystem");
}

void default_pod(Json& pod) {
  Json& spec = pod["spec"];
  default_pod_spec(spec, true);
  if (text_at(spec, "serviceAccountName").empty())
    spec["serviceAccountName"] =
        text_at(spec, "serviceAccount").empty() ? "default" : text_at(spec, "serviceAccount");
  spec["serviceAccount"] = spec["serviceAccountName"];
  set_default(spec, "preemptionPolicy", "PreemptLowerPriority");
  set_default(spec, "priority", 0);
  Json& tolerations = spec["tolerations"];
  if (!tolerations.is_array()) tolerations = Json::array();
  for (const char* key : {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}) {
    bool there = false;
    for (const Json& each : tolerations) there = there || text_at(each, "key") == key;
    if (!there)
      tolerations.push_back(
          Json{{"effect", "NoExecute"}, {"key", key}, {"operator", "Exists"}, {"tolerationSeconds", 300}});
  }
  if (const auto status = pod.find("status"); status != pod.end() && status->is_object()) {
    if (const auto conditions = status->find("conditions");
        conditions != status->end() && conditions->is_array())
      for (Json& condition : *conditions)  // a real server writes the time that nobody sets, too
        if (condition.is_object()) set_default(condition, "lastProbeTime", nullptr);
  }
}

void default_service(Json& service) {
  Json& spec = service["spec"];
  if (!spec.is_object()) spec = Json::object();
  set_default(spec, "type", "ClusterIP");
  set_default(spec, "sessionAffinity", "None");
  const std::string type = spec["type"].is_string() ? spec["type"].get<std::string>() : "";
  if (type != "ExternalName") {
    set_default(spec, "internalTrafficPolicy", "Cluster");
    set_default(spec, "ipFamilies", Json::array({"IPv4"}));
    set_default(spec, "ipFamilyPolicy", "SingleStack");
  }
  if (type == "NodePort" || type == "LoadBalancer") set_default(spec, "externalTrafficPolicy", "Cluster");
  if (type == "LoadBalancer") set_default(spec, "allocateLoadBalancerNodePorts", true);
  if (spec.contains("ports"))
    for (Json& port : spec["ports"]) {
      if (!port.is_object()) continue;
      set_default(port, "protocol", "TCP");
      if (port.contains("port") &&
          (!port.contains("targetPort") || port["targetPort"] == "" || port["targetPort"] == 0))
        port["targetPort"] = port["port"];
    }
}

void default_secret(Json& secret) {
  set_default(secret, "type", "Opaque");
  if (const auto it = secret.find("stringData"); it != secret.end()) {
    if (it->is_object())
      for (const auto& [key, value] : it->items())
        if (value.is_string()) secret["data"][key] = base64_encode(value.get<std::string>());
    secret.erase("stringData");
  }
}

void default_event(Json& event) {
  for (const char* name : {"eventTime", "firstTimestamp", "lastTimestamp"})
    if (!event.contains(name)) event[name] = nullptr;
  set_default(event, "reportingComponent", "");
  set_default(event, "reportingInstance", "");
  set_default(event, "source", Json::object());
}

// An address of the usual range of Services. Nothing listens there: names and environment variables of
// Services lead to pods by other ways.
std::string cluster_ip(const std::string& uid) {
  const std::size_t hash = std::hash<std::string>{}(uid);
  return fmt::format("10.{}.{}.{}", 96 + hash % 16, (hash >> 8) % 256, 1 + (hash >> 16) % 254);
}

void default_workload(const Kind& kind, Json& object) {
  Json& spec = object["spec"];
  if (!spec.is_object()) spec = Json::object();
  if (kind.scale && !spec.contains("replicas")) spec["replicas"] = 1;
  if (kind.kind == "Deployment") {
    Json& strategy = spec["strategy"];
    set_default(strategy, "type", "RollingUpdate");
    if (strategy["type"] == "RollingUpdate") {
      set_default(strategy["rollingUpdate"], "maxSurge", "25%");
      set_default(strategy["rollingUpdate"], "maxUnavailable", "25%");
    }
    set_default(spec, "revisionHistoryLimit", 10);
    set_default(spec, "progressDeadlineSeconds", 600);
  }
  if (kind.kind == "Job") {
    set_default(spec, "podReplacementPolicy", "TerminatingOrFailed");
    set_default(spec, "backoffLimit", 6);
    set_default(spec, "completionMode", "NonIndexed");
    set_default(spec, "completions", 1);
    set_default(spec, "parallelism", 1);
    set_default(spec, "suspend", false);
  }
  default_template(spec);
}

}  // namespace

void default_builtin(const Kind& kind, Json& object) {
  canonical_quantities(object, *kind.schema);
  const std::string resource = kind.resource();
  if (resource == "pods") {
    if (object.contains("spec") && object["spec"].is_object()) default_pod(object);
  } else if (resource == "services") {
    default_service(object);
  } else if (resource == "secrets") {
    default_secret(object);
  } else if (resource == "events") {
    default_event(object);
  } else if (resource == "customresourcedefinitions.apiextensions.k8s.io") {
    default_crd(object);
  } else if (kind.group == "apps" || kind.group == "batch") {
    default_workload(kind, object);
  } else if (resource == "persistentvolumeclaims") {
    default_claim(object);
  } else if (resource == "roles.rbac.authorization.k8s.io" ||
             resource == "clusterroles.rbac.authorization.k8s.io") {
    set_default(object, "rules", nullptr);
  } else if (kind.kind == "RoleBinding" || kind.kind == "ClusterRoleBinding") {
    default_binding(object);
  } else if (resource == "networkpolicies.networking.k8s.io") {
    default_network_policy(object);
  } else if (resource == "priorityclasses.scheduling.k8s.io") {
    set_default(object, "preemptionPolicy", "PreemptLowerPriority");
  } else if (resource == "limitranges") {
    default_limit_range(object);
  } else if (resource == "configmaps") {
    drop_empty(object, {"data", "binaryData"});
  }
}

void prepare_builtin_create(const Kind& kind, Json& object, bool trusted, WallTime now) {
  const std::string resource = kind.resource();
  if (kind.has_status && !(trusted && resource == "nodes") &&
      resource != "customresourcedefinitions.apiextensions.k8s.io")
    object.erase("status");
  if (resource == "namespaces") {
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = meta_text(object, "name");
    object["spec"]["finalizers"] = Json::array({"kubernetes"});
    object["status"]["phase"] = "Active";
  } else if (resource == "pods") {
    object["status"] = Json{{"phase", "Pending"}, {"qosClass", "BestEffort"}};
    bool limited = false, guaranteed = true;
    for (const Json& container : array_of(object_of(object, "spec"), "containers")) {
      const Json& resources = object_of(container, "resources");
      const Json& limits = object_of(resources, "limits");
      limited = limited || !limits.empty() || !object_of(resources, "requests").empty();
      guaranteed = guaranteed && limits.contains("cpu") && limits.contains("memory") &&
                   object_of(resources, "requests") == limits;
    }
    if (limited) object["status"]["qosClass"] = guaranteed ? "Guaranteed" : "Burstable";
  } else if (resource == "services") {
    object["status"] = Json{{"loadBalancer", Json::object()}};
    Json& spec = object["spec"];
    if (text_at(spec, "type") != "ExternalName") {
      if (text_at(spec, "clusterIP").empty()) spec["clusterIP"] = cluster_ip(meta_text(object, "uid"));
      spec["clusterIPs"] = Json::array({spec["clusterIP"]});
    }
  } else if (resource == "persistentvolumeclaims") {
    object["status"] = Json{{"phase", "Pending"}};
  } else if (resource == "customresourcedefinitions.apiextensions.k8s.io") {
    object.erase("status");
    object["metadata"]["finalizers"] = Json::array({kCrdFinalizer});
  } else if (resource == "serviceaccounts") {
    if (object.contains("secrets") && object["secrets"].empty()) object.erase("secrets");
  }
  (void)now;
}

void prepare_builtin_update(const Kind& kind, const Json& old, Json& object, const std::string& subresource) {
  const std::string resource = kind.resource();
  if (resource == "namespaces" && subresource != "finalize") {
    object["spec"] = object_of(old, "spec");
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = meta_text(object, "name");
  }
  if (resource == "services") {  // what was allocated stays when an update says nothing of it
    const Json& before = object_of(old, "spec");
    Json& spec = object["spec"];
    if (text_at(spec, "type") != "ExternalName")
      for (const char* name : {"clusterIP", "clusterIPs"})
        if ((!spec.contains(name) || spec[name].empty() || spec[name] == "") && before.contains(name))
          spec[name] = before[name];
  }
}

}  // namespace muster::local
