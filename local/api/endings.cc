// local/api/endings.cc: namespaces and CRDs take their content with them; new namespaces get theirs
#include <fmt/format.h>

#include "common/base/rfc3339.h"
#include "local/api/controllers.h"
#include "local/api/crd.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

constexpr const char* kCrds = "customresourcedefinitions.apiextensions.k8s.io";

WriteOptions controller() {
  WriteOptions options;
  options.manager = "kube-controller-manager";
  options.validation = FieldValidation::kIgnore;
  return options;
}

constexpr auto kNamespaceRecheck = std::chrono::seconds(4);

struct Remains {  // of a namespace that ends
  std::map<std::string, int> resources, finalizers;
};

std::string counted(const std::map<std::string, int>& counts, const char* between) {
  std::string text;
  for (const auto& [name, count] : counts)
    text += fmt::format("{}{} {} {} resource instances", text.empty() ? "" : ", ", name, between, count);
  return text;
}

// What the namespace controller tells of a namespace that content holds up.
void set_conditions(Json& status, const Remains& remains) {
  const std::string now = rfc3339(std::chrono::system_clock::now());
  const auto set = [&](const char* type, bool holds, const char* reason, const std::string& message) {
    Json& conditions = status["conditions"];
    if (!conditions.is_array()) conditions = Json::array();
    const Json wanted{{"type", type},
                      {"status", holds ? "True" : "False"},
                      {"reason", reason},
                      {"message", message},
                      {"lastTransitionTime", now}};
    for (Json& each : conditions) {
      if (text_at(each, "type") != type) continue;
      const std::string since = text_at(each, "lastTransitionTime");
      const bool same = text_at(each, "status") == text_at(wanted, "status");
      each = wanted;
      if (same) each["lastTransitionTime"] = since;
      return;
    }
    conditions.push_back(wanted);
  };
  set("NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered",
      "All resources successfully discovered");
  set("NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions",
      "All legacy kube types successfully parsed");
  set("NamespaceDeletionContentFailure", false, "ContentDeleted",
      "All content successfully deleted, may be waiting on finalization");
  set("NamespaceContentRemaining", true, "SomeResourcesRemain",
      "Some resources are remaining: " + counted(remains.resources, "has"));
  const bool held = !remains.finalizers.empty();
  set("NamespaceFinalizersRemaining", held, held ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
      held ? "Some content in the namespace has finalizers remaining: " + counted(remains.finalizers, "in")
           : "All content-preserving finalizers finished");
}

}  // namespace

void Controllers::fill_namespace(const std::string& name) {
  const auto table = kinds_.table();
  (void)rest_.create(
      *table->preferred("serviceaccounts"), name,
      Json{{"apiVersion", "v1"}, {"kind", "ServiceAccount"}, {"metadata", Json{{"name", "default"}}}},
      controller());
  (void)rest_.create(*table->preferred("configmaps"), name,
                     Json{{"apiVersion", "v1"},
                          {"kind", "ConfigMap"},
                          {"metadata", Json{{"name", "kube-root-ca.crt"}}},
                          {"data", Json{{"ca.crt", certificate_pem_}}}},
                     controller());
}

void Controllers::end_namespace(const std::string& name) {
  const ObjectPtr space = store_.get("namespaces", "", name);
  if (!space || space->text.find("\"deletionTimestamp\":") == std::string::npos) return;
  const auto table = kinds_.table();
  Remains remains;
  for (const std::string& resource : store_.resources()) {
    const KindPtr kind = table->preferred(resource);
    if (!kind || !kind->namespaced) continue;
    for (const ObjectPtr& object : store_.list(resource, name).objects) {
      DeleteOptions options;
      options.propagation = "Background";
      if (object->text.find("\"deletionTimestamp\":") == std::string::npos) {
        const auto deleted = rest_.remove(*kind, name, object->name, options);
        if (deleted && deleted->gone) continue;
      }
      const ObjectPtr left = store_.get(resource, name, object->name);
      if (!left) continue;
      ++remains.resources[kind->plural + "." + kind->group];
      for (const std::string& finalizer : finalizers_of(left->json())) ++remains.finalizers[finalizer];
    }
  }
  WriteOptions options = controller();
  if (!remains.resources.empty()) {
    options.subresource = "status";
    (void)rest_.update(
        *table->preferred("namespaces"), "", name,
        [&](const Json& current) -> ApiResult<Json> {
          Json changed = current;
          set_conditions(changed["status"], remains);
          changed["metadata"].erase("resourceVersion");
          return changed;
        },
        options);
    rechecks_[name] = std::chrono::steady_clock::now() + kNamespaceRecheck;
    return;
  }
  rechecks_.erase(name);
  options.subresource = "finalize";
  (void)rest_.update(
      *table->preferred("namespaces"), "", name,
      [](const Json& current) -> ApiResult<Json> {
        Json changed = current;
        changed["spec"] = Json::object();  // no finalizer is left in it
        changed["metadata"].erase("resourceVersion");
        return changed;
      },
      options);
}

void Controllers::end_crd(const std::string& name) {
  const ObjectPtr crd = store_.get(kCrds, "", name);
  if (!crd || crd->text.find("\"deletionTimestamp\":") == std::string::npos) return;
  const auto table = kinds_.table();
  if (const KindPtr kind = table->preferred(name)) {
    for (const ObjectPtr& object : store_.list(name).objects) {
      DeleteOptions options;
      options.propagation = "Background";
      if (object->text.find("\"deletionTimestamp\":") == std::string::npos)
        (void)rest_.remove(*kind, object->ns, object->name, options);
    }
  }
  if (!store_.list(name).objects.empty()) return;
  (void)rest_.update(
      *table->preferred(kCrds), "", name,
      [](const Json& current) -> ApiResult<Json> {
        Json changed = current;
        std::vector<std::string> names = finalizers_of(current);
        std::erase(names, std::string(kCrdFinalizer));
        changed["metadata"]["finalizers"] = names;
        changed["metadata"].erase("resourceVersion");
        return changed;
      },
      controller());
}

}  // namespace muster::local
