// local/tests/api/random_requests.cc: mostly sensible requests, so that there are objects to be wrong about
#include "local/tests/api/random_requests.h"

namespace muster::local {
namespace {

const std::vector<std::string> kOdd{"/",
                                    "/api",
                                    "/apis",
                                    "/apis/apps",
                                    "/openapi/v2",
                                    "/openapi/v3",
                                    "/openapi/v3/api/v1",
                                    "/healthz",
                                    "/version",
                                    "/api/v1",
                                    "/api/v2",
                                    "/apis/muster.dev/v1alpha1",
                                    "/api/v1/namespaces/default/pods/n1/log?follow=false",
                                    "/api/v1/watch/pods?timeoutSeconds=1",
                                    "//",
                                    "/api/v1/namespaces//pods",
                                    "/api/v1/pods/a/b/c/d/e",
                                    "/metrics"};
const std::vector<std::string> kAccepts{"application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                                        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
                                        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
                                        "application/vnd.kubernetes.protobuf", "*/*"};
const std::vector<std::string> kSubresources{"status",  "scale",    "log",   "eviction",
                                             "binding", "finalize", "token", "nothing"};

}  // namespace

const std::vector<RandomRequests::Resource>& RandomRequests::resources() {
  static const std::vector<Resource> kResources{
      {"/api/v1", "configmaps", "ConfigMap"},
      {"/api/v1", "pods", "Pod"},
      {"/api/v1", "services", "Service"},
      {"/api/v1", "secrets", "Secret"},
      {"/api/v1", "serviceaccounts", "ServiceAccount"},
      {"/api/v1", "endpoints", "Endpoints"},
      {"/api/v1", "events", "Event"},
      {"/api/v1", "persistentvolumeclaims", "PersistentVolumeClaim"},
      {"/api/v1", "nodes", "Node", false},
      {"/api/v1", "namespaces", "Namespace", false},
      {"/apis/apps/v1", "deployments", "Deployment"},
      {"/apis/batch/v1", "jobs", "Job"},
      {"/apis/coordination.k8s.io/v1", "leases", "Lease"},
      {"/apis/events.k8s.io/v1", "events", "Event"},
      {"/apis/rbac.authorization.k8s.io/v1", "roles", "Role"},
      {"/apis/rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", false},
      {"/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", false},
      {"/apis/example.com/v1", "gadgets", "Gadget"},
      {"/apis/muster.dev/v1alpha1", "distributedjobs", "DistributedJob"},
      {"/apis/muster.dev/v1alpha1", "federatedrounds", "FederatedRound"},
      {"/apis/nowhere.example/v1", "ghosts", "Ghost"},
  };
  return kResources;
}

RandomRequests::RandomRequests(std::uint64_t seed) : random_(seed) {}

std::size_t RandomRequests::below(std::size_t count) {
  return std::uniform_int_distribution<std::size_t>(0, count - 1)(random_);
}

std::string RandomRequests::name() {
  if (one_in(60))
    return any<std::string>({"Not_A_Name", "%2e%2e", "a%00b", "x..y", "-", std::string(300, 'n'), "%zz"});
  return "n" + std::to_string(below(12));
}

std::string RandomRequests::space() {
  if (one_in(80)) return any<std::string>({"nowhere", "UPPER", "%20"});
  return any<std::string>({"default", "default", "r1", "r2"});
}

std::string RandomRequests::collection(const Resource& resource, bool everywhere) {
  if (!resource.namespaced || everywhere) return resource.prefix + "/" + resource.plural;
  return resource.prefix + "/namespaces/" + space() + "/" + resource.plural;
}

std::string RandomRequests::list_query() {
  static const std::vector<std::string> kParts{
      "limit=3",
      "limit=0",
      "limit=-1",
      "limit=x",
      "continue=garbage",
      "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJkZWZhdWx0L24xIn0%3D",
      "resourceVersion=0",
      "resourceVersion=1",
      "resourceVersion=x",
      "resourceVersion=99999999999999999999",
      "labelSelector=a%3Db",
      "labelSelector=a%20in%20(b%2Cc)%2C!d",
      "labelSelector=a%3D%3D%3Db",
      "labelSelector=%28%28",
      "fieldSelector=metadata.name%3Dn1",
      "fieldSelector=spec.nodeName%21%3Dx%2Cstatus.phase%3DRunning",
      "fieldSelector=no.such%3Dfield",
      "resourceVersionMatch=Exact",
      "resourceVersionMatch=NotOlderThan",
      "pretty=1",
      "timeoutSeconds=1",
      "allowWatchBookmarks=true",
      "sendInitialEvents=true"};
  std::string query;
  for (std::size_t i = below(4); i > 0; --i) query += (query.empty() ? "?" : "&") + any(kParts);
  return query;
}

Json RandomRequests::value(int depth) {
  switch (below(depth > 3 ? 9 : 11)) {
    case 0: return nullptr;
    case 1: return one_in(2);
    case 2: return -1;
    case 3: return static_cast<std::int64_t>(random_());
    case 4: return 1e300;
    case 5: return 0.5;
    case 6: return std::string(below(3) * 40, 'v');
    case 7: return "\xc3\xa9\n\"\\\t";
    case 8: return std::to_string(below(100)) + "Mi";
    case 9: {
      Json list = Json::array();
      for (std::size_t i = below(4); i > 0; --i) list.push_back(value(depth + 1));
      return list;
    }
    default: {
      Json object = Json::object();
      for (std::size_t i = below(4); i > 0; --i)
        object[any<std::string>({"name", "a", "spec", "replicas", "", "$patch", "metadata"})] =
            value(depth + 1);
      return object;
    }
  }
}

// Walks down at random and puts something else there.
void RandomRequests::mutate(Json& json) {
  Json* at = &json;
  for (int depth = 0; depth < 6; ++depth) {
    if (!at->is_structured() || at->empty() || one_in(4)) break;
    auto it = at->begin();
    std::advance(it, static_cast<std::ptrdiff_t>(below(at->size())));
    at = &*it;
  }
  if (at->is_object() && one_in(2))
    (*at)[any<std::string>({"unknown", "name", "namespace", "uid", "finalizers", "resourceVersion",
                            "generateName", "ownerReferences", "labels", "annotations", "status"})] =
        value(0);
  else
    *at = value(0);
}

Json RandomRequests::spec_of(const std::string& kind) {
  const Json containers = Json::array({{{"name", "main"}, {"image", "busybox"}, {"command", {"true"}}}});
  const Json labels{{"app", "x"}};
  if (kind == "Pod")
    return {{"schedulerName", "nobody"}, {"restartPolicy", "Never"}, {"containers", containers}};
  if (kind == "Service") return {{"selector", labels}, {"ports", {{{"name", "a"}, {"port", 80 + below(3)}}}}};
  const Json pod_template{{"metadata", {{"labels", labels}}}, {"spec", {{"containers", containers}}}};
  if (kind == "Deployment")
    return {{"replicas", below(4)}, {"selector", {{"matchLabels", labels}}}, {"template", pod_template}};
  if (kind == "Job") {
    Json job = pod_template;
    job["spec"]["restartPolicy"] = "Never";
    return {{"template", job}};
  }
  if (kind == "Lease") return {{"holderIdentity", "me"}, {"leaseTransitions", below(10)}};
  if (kind == "PersistentVolumeClaim")
    return {{"accessModes", {"ReadWriteOnce"}}, {"resources", {{"requests", {{"storage", "1Mi"}}}}}};
  if (kind == "Gadget") return {{"size", 1 + below(5)}, {"greeting", "hi"}};
  if (kind == "DistributedJob")
    return {
        {"suspend", true},
        {"workers", {{"replicas", 1 + below(3)}, {"template", {{"spec", {{"containers", containers}}}}}}}};
  return value(0);
}

Json RandomRequests::object(const Resource& resource, const std::string& name) {
  Json object{{"apiVersion", resource.prefix.substr(resource.prefix.find('/', 1) + 1)},
              {"kind", resource.kind},
              {"metadata", {{"name", name}, {"labels", {{"a", any<std::string>({"b", "c"})}}}}}};
  if (one_in(6)) object["metadata"]["finalizers"] = Json::array({"example.com/hold"});
  if (one_in(10)) object["metadata"]["generateName"] = "g-";
  if (resource.kind == "ConfigMap") object["data"] = {{"k", std::to_string(below(100))}};
  if (resource.kind == "Secret") object["stringData"] = {{"k", std::to_string(below(100))}};
  if (resource.kind == "Role" || resource.kind == "ClusterRole")
    object["rules"] = Json::array({{{"apiGroups", {""}}, {"resources", {"pods"}}, {"verbs", {"get"}}}});
  if (resource.kind == "Event")
    object.update({{"involvedObject", {{"kind", "Pod"}, {"name", "n1"}}}, {"reason", "R"}, {"message", "m"}});
  if (const Json spec = spec_of(resource.kind); spec.is_object()) object["spec"] = spec;
  return object;
}

std::string RandomRequests::text(const Json& json) {
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  switch (below(60)) {
    case 0: return text.substr(0, below(text.size() + 1));
    case 1: return std::string(5000, '[');
    case 2: return text + "garbage";
    case 3: text[below(text.size())] = static_cast<char>(below(256)); return text;
    case 4: return "";
    case 5: return std::string("k8s\0", 4) + text;
    case 6: return "a: [b, {c: d}]\nmetadata:\n  name: y\n";
    default: return text;
  }
}

RandomRequest RandomRequests::patch(const Resource& resource, const std::string& path) {
  static const std::vector<std::string> kOperations{"add",  "remove", "replace", "test",
                                                    "move", "copy",   "wrong"};
  static const std::vector<std::string> kPointers{
      "/metadata/labels/a", "/data/k",      "/spec/replicas", "/spec/ports/0",
      "/spec/ports/-",      "/metadata",    "/kind",          "",
      "/spec/containers/9", "/a~1b/~0~2/c", "no-slash"};
  Json body = object(resource, name());
  std::string query = "?fieldManager=" + any<std::string>({"one", "two", "three"});
  RandomRequest request{"PATCH", path, "", "", "application/json"};
  switch (below(5)) {
    case 0:
      request.content_type = "application/json-patch+json";
      body = Json::array();
      for (std::size_t i = 1 + below(3); i > 0; --i)
        body.push_back({{"op", any(kOperations)},
                        {"path", any(kPointers)},
                        {"from", any(kPointers)},
                        {"value", value(1)}});
      break;
    case 1:
      request.content_type = "application/apply-patch+yaml";
      if (one_in(2)) query += "&force=true";
      break;
    case 2: request.content_type = "application/strategic-merge-patch+json"; break;
    case 3: request.content_type = "application/merge-patch+json"; break;
    default: request.content_type = any<std::string>({"application/merge-patch+json", "text/plain", ""});
  }
  if (request.content_type != "application/apply-patch+yaml" && body.is_object()) body.erase("apiVersion");
  if (one_in(4) && body.is_object() && body.contains("metadata")) body["metadata"]["finalizers"] = nullptr;
  if (one_in(3)) mutate(body);
  request.path += query;
  request.body = text(body);
  return request;
}

RandomRequest RandomRequests::next() {
  RandomRequest request;
  const Resource& resource = any(resources());
  const std::string name = this->name();
  const std::string item = collection(resource, false) + "/" + name;
  const std::string sub = one_in(8) ? "/" + any(kSubresources) : "";
  switch (below(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4: {
      Json body = object(resource, name);
      if (one_in(4)) mutate(body);
      request = {
          "POST",
          collection(resource, false) +
              any<std::string>({"", "", "", "?dryRun=All", "?fieldValidation=Strict", "?fieldManager=one"}),
          text(body)};
      if (!sub.empty()) request.path = item + sub;
      break;
    }
    case 5:
    case 6: {
      Json body = object(resource, name);
      if (one_in(3)) mutate(body);
      request = {"PUT", item + sub, text(body)};
      break;
    }
    case 7:
    case 8:
    case 9: request = patch(resource, item + sub); break;
    case 10:
    case 11: {
      Json body{{"propagationPolicy", any<std::string>({"Background", "Foreground", "Orphan", "Wrong"})},
                {"gracePeriodSeconds", 0}};
      if (one_in(4)) mutate(body);
      request = {"DELETE", item + sub, one_in(2) ? "" : text(body)};
      break;
    }
    case 12:
      request = {one_in(30) ? "DELETE" : "GET", collection(resource, one_in(3)) + list_query(), ""};
      break;
    case 13: request = {"GET", item + sub, ""}; break;
    case 14: request = {"GET", collection(resource, one_in(3)) + list_query(), ""}; break;
    default:
      request = {any<std::string>({"GET", "GET", "POST", "OPTIONS", "HEAD", "PUT", "FROB"}), any(kOdd), ""};
  }
  if (one_in(5)) request.accept = any(kAccepts);
  return request;
}

}  // namespace muster::local
