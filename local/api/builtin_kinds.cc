// local/api/builtin_kinds.cc: the kinds that every cluster has, in the order of a real server's discovery
#include <sstream>

#include "local/api/builtin_types.h"
#include "local/api/kind.h"

namespace muster::local {
namespace {

struct Row {
  const char* api_version;
  const char* kind;
  const char* plural;
  const char* short_names;
  const char* categories;
  const char* flags;  // c: cluster scope, s: status, g: generation, S: scale, r: review (create only)
  const char* type = nullptr;  // in the table of types, when it is not the kind's name
};

constexpr Row kRows[] = {
    {"v1", "Binding", "bindings", "", "", "r"},
    {"v1", "ConfigMap", "configmaps", "cm", "", ""},
    {"v1", "Endpoints", "endpoints", "ep", "", ""},
    {"v1", "Event", "events", "ev", "", ""},
    {"v1", "LimitRange", "limitranges", "limits", "", ""},
    {"v1", "Namespace", "namespaces", "ns", "", "cs"},
    {"v1", "Node", "nodes", "no", "", "cs"},
    {"v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", "", "s"},
    {"v1", "Pod", "pods", "po", "all", "sg"},
    {"v1", "ResourceQuota", "resourcequotas", "quota", "", "s"},
    {"v1", "Secret", "secrets", "", "", ""},
    {"v1", "ServiceAccount", "serviceaccounts", "sa", "", ""},
    {"v1", "Service", "services", "svc", "all", "s"},
    {"apps/v1", "Deployment", "deployments", "deploy", "all", "sgS"},
    {"apps/v1", "ReplicaSet", "replicasets", "rs", "all", "sgS"},
    {"events.k8s.io/v1", "Event", "events", "ev", "", "", "events.Event"},
    {"authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews", "", "", "cr"},
    {"authentication.k8s.io/v1", "TokenReview", "tokenreviews", "", "", "cr"},
    {"authorization.k8s.io/v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", "", "", "r"},
    {"authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", "", "", "cr"},
    {"authorization.k8s.io/v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", "", "", "cr"},
    {"authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", "", "", "cr"},
    {"batch/v1", "Job", "jobs", "", "all", "sg"},
    {"networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", "netpol", "", "g"},
    {"policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", "", "sg"},
    {"rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", "", "", "c"},
    {"rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", "", "", "c"},
    {"rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", "", "", ""},
    {"rbac.authorization.k8s.io/v1", "Role", "roles", "", "", ""},
    {"apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", "crd,crds",
     "api-extensions", "csg"},
    {"scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", "pc", "", "cg"},
    {"coordination.k8s.io/v1", "Lease", "leases", "", "", ""},
    {"discovery.k8s.io/v1", "EndpointSlice", "endpointslices", "", "", "g"},
};

std::vector<std::string> split(const char* text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

// What objects of a kind can be selected by besides name and namespace.
constexpr std::pair<const char*, const char*> kSelectable[] = {
    {"pods",
     ".spec.nodeName,.spec.restartPolicy,.spec.schedulerName,.spec.serviceAccountName,.spec.hostNetwork,"
     ".status.phase,.status.podIP,.status.podIPs,.status.nominatedNodeName"},
    {"events",
     ".involvedObject.kind,.involvedObject.namespace,.involvedObject.name,.involvedObject.uid,"
     ".involvedObject.apiVersion,.involvedObject.resourceVersion,.involvedObject.fieldPath,.reason,"
     ".reportingComponent,.source,.type"},
    {"events.events.k8s.io",
     ".regarding.kind,.regarding.namespace,.regarding.name,.regarding.uid,.regarding.apiVersion,"
     ".regarding.resourceVersion,.regarding.fieldPath,.reason,.reportingController,.type"},
    {"namespaces", ".status.phase"},
    {"nodes", ".spec.unschedulable"},
    {"secrets", ".type"},
    {"services", ".spec.clusterIP,.spec.type"},
    {"jobs.batch", ".status.successful"},
};

KindPtr make_kind(const Row& row) {
  auto kind = std::make_shared<Kind>();
  const std::string api_version = row.api_version;
  const auto slash = api_version.find('/');
  if (slash != std::string::npos) kind->group = api_version.substr(0, slash);
  kind->version = slash == std::string::npos ? api_version : api_version.substr(slash + 1);
  kind->kind = row.kind;
  kind->list_kind = kind->kind == "Endpoints" ? "EndpointsList" : kind->kind + "List";
  kind->plural = row.plural;
  kind->singular = lower(row.kind);
  kind->short_names = split(row.short_names);
  kind->categories = split(row.categories);
  const std::string_view flags = row.flags;
  const auto has = [flags](char flag) { return flags.find(flag) != std::string_view::npos; };
  kind->namespaced = !has('c');
  kind->has_status = has('s');
  kind->has_generation = has('g');
  kind->create_only = has('r');
  if (has('S')) kind->scale = ScalePaths{".spec.replicas", ".status.replicas", ""};
  kind->verbs = kind->create_only ? std::vector<std::string>{"create"}
                                  : std::vector<std::string>{"create", "delete", "deletecollection", "get",
                                                             "list",   "patch",  "update",           "watch"};
  if (kind->plural == "namespaces") std::erase(kind->verbs, "deletecollection");
  kind->schema = builtin_type(row.type != nullptr ? row.type : row.kind);
  if (kind->group == "events.k8s.io") kind->stored_as = "events";
  for (const auto& [resource, fields] : kSelectable)
    if (kind->resource() == resource) kind->selectable_fields = split(fields);
  return kind;
}

}  // namespace

const std::vector<KindPtr>& builtin_kinds() {
  static const std::vector<KindPtr> kKinds = [] {
    std::vector<KindPtr> kinds;
    for (const Row& row : kRows) kinds.push_back(make_kind(row));
    return kinds;
  }();
  return kKinds;
}

}  // namespace muster::local
