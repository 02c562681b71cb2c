// local/api/endpoints.cc: the addresses behind a Service: Endpoints and EndpointSlices from its pods' status
#include <fmt/format.h>

#include <algorithm>

#include "local/api/controllers.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

bool selected(const Json& pod, const Json& selector) {
  const Json& labels = object_of(object_of(pod, "metadata"), "labels");
  if (selector.empty()) return false;
  for (const auto& [key, value] : selector.items())
    if (labels.value(key, Json()) != value) return false;
  return true;
}

bool is_ready(const Json& pod) {
  for (const Json& each : array_of(object_of(pod, "status"), "conditions"))
    if (text_at(each, "type") == "Ready") return text_at(each, "status") == "True";
  return false;
}

// The number behind targetPort, which may be the name of a container's port.
Json target_port(const Json& port, const Json& pod) {
  Json target = port.value("targetPort", port.value("port", Json(0)));
  if (!target.is_string()) return target;
  for (const Json& container : array_of(object_of(pod, "spec"), "containers"))
    for (const Json& each : array_of(container, "ports"))
      if (text_at(each, "name") == target) return each.value("containerPort", Json());
  return nullptr;
}

Json address_of(const Json& pod) {
  Json address{{"ip", text_at(object_of(pod, "status"), "podIP")},
               {"targetRef", Json{{"kind", "Pod"},
                                  {"name", meta_text(pod, "name")},
                                  {"namespace", meta_text(pod, "namespace")},
                                  {"uid", meta_text(pod, "uid")}}}};
  const Json& spec = object_of(pod, "spec");
  if (const std::string node = text_at(spec, "nodeName"); !node.empty()) address["nodeName"] = node;
  if (const std::string host = text_at(spec, "hostname"); !host.empty()) address["hostname"] = host;
  return address;
}

Json ports_of(const Json& spec, const Json& pod) {
  Json ports = Json::array();
  for (const Json& port : array_of(spec, "ports")) {
    Json entry{{"port", target_port(port, pod)}, {"protocol", port.value("protocol", "TCP")}};
    if (const std::string name = text_at(port, "name"); !name.empty()) entry["name"] = name;
    if (!entry["port"].is_null()) ports.push_back(std::move(entry));
  }
  return ports;
}

// Of a slice, from the address of Endpoints.
Json slice_endpoint(const Json& address, const Json& pod, bool ready) {
  Json endpoint{{"addresses", Json::array({address["ip"]})},
                {"conditions",
                 Json{{"ready", ready}, {"serving", is_ready(pod)}, {"terminating", is_terminating(pod)}}},
                {"targetRef", address["targetRef"]}};
  for (const char* field : {"hostname", "nodeName"})
    if (address.contains(field)) endpoint[field] = address[field];
  return endpoint;
}

struct Backends {
  Json ready = Json::array();  // addresses
  Json waiting = Json::array();
  Json slice_endpoints = Json::array();
  Json ports = Json::array();
};

Backends backends_of(const Json& service, const std::vector<Json>& pods) {
  const Json& spec = object_of(service, "spec");
  const bool publish_all = spec.value("publishNotReadyAddresses", Json(false)) == Json(true);
  Backends backends;
  for (const Json& pod : pods) {
    const Json& status = object_of(pod, "status");
    const std::string phase = text_at(status, "phase");
    if (!selected(pod, object_of(spec, "selector")) || text_at(status, "podIP").empty()) continue;
    if (phase == "Succeeded" || phase == "Failed") continue;
    const bool ready = publish_all || (is_ready(pod) && !is_terminating(pod));
    const Json address = address_of(pod);
    (ready ? backends.ready : backends.waiting).push_back(address);
    backends.slice_endpoints.push_back(slice_endpoint(address, pod, ready));
    if (backends.ports.empty()) backends.ports = ports_of(spec, pod);
  }
  return backends;
}

Json subsets_of(const Backends& backends) {
  if (backends.ready.empty() && backends.waiting.empty()) return Json::array();
  Json subset = Json::object();
  if (!backends.ready.empty()) subset["addresses"] = backends.ready;
  if (!backends.waiting.empty()) subset["notReadyAddresses"] = backends.waiting;
  if (!backends.ports.empty()) subset["ports"] = backends.ports;
  return Json::array({subset});
}

}  // namespace

void Controllers::update_endpoints(const std::string& ns) {
  std::vector<Json> services;
  for (const ObjectPtr& service : store_.list("services", ns).objects) {
    Json json = service->json();
    if (!object_of(object_of(json, "spec"), "selector").empty()) services.push_back(std::move(json));
  }
  if (services.empty()) return;
  std::vector<Json> pods;  // that have an address; there may be thousands that have none
  for (const ObjectPtr& pod : store_.list("pods", ns).objects)
    if (pod->text.find("\"podIP\":\"") != std::string::npos) pods.push_back(pod->json());
  for (const Json& service : services) update_service_endpoints(service, pods);
}

void Controllers::update_service_endpoints(const Json& service, const std::vector<Json>& pods) {
  const Backends backends = backends_of(service, pods);
  const std::string ns = meta_text(service, "namespace");
  const std::string name = meta_text(service, "name");
  const auto table = kinds_.table();
  WriteOptions options;
  options.manager = "kube-controller-manager";
  const auto put = [&](const char* resource, const std::string& object_name, const Json& wanted) {
    const KindPtr kind = table->preferred(resource);
    if (store_.get(resource, ns, object_name)) {
      (void)rest_.update(
          *kind, ns, object_name,
          [&](const Json& current) -> ApiResult<Json> {
            Json changed = current;
            for (const auto& [member, value] : wanted.items())
              if (member != "metadata") changed[member] = value;
            changed["metadata"].erase("resourceVersion");
            return changed;
          },
          options);
    } else {
      (void)rest_.create(*kind, ns, wanted, options);
    }
  };
  Json labels = object_of(object_of(service, "metadata"), "labels");
  put("endpoints", name,
      Json{{"apiVersion", "v1"},
           {"kind", "Endpoints"},
           {"metadata", Json{{"name", name}, {"labels", labels}}},
           {"subsets", subsets_of(backends)}});
  labels["kubernetes.io/service-name"] = name;
  labels["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io";
  Json slice_ports = Json::array();
  for (Json port : backends.ports) {
    if (!port.contains("name")) port["name"] = "";
    slice_ports.push_back(std::move(port));
  }
  const Json owner{{"apiVersion", "v1"}, {"kind", "Service"},
                   {"name", name},       {"uid", meta_text(service, "uid")},
                   {"controller", true}, {"blockOwnerDeletion", true}};
  put("endpointslices.discovery.k8s.io", name,
      Json{
          {"apiVersion", "discovery.k8s.io/v1"},
          {"kind", "EndpointSlice"},
          {"addressType", "IPv4"},
          {"endpoints", backends.slice_endpoints},
          {"ports", slice_ports},
          {"metadata", Json{{"name", name}, {"labels", labels}, {"ownerReferences", Json::array({owner})}}}});
}

}  // namespace muster::local
