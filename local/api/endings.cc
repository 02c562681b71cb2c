// local/api/endings.cc: namespaces and CRDs take their content with them; new namespaces get theirs
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
  bool empty = true;
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
      if (store_.get(resource, name, object->name)) empty = false;
    }
  }
  if (!empty) return;  // the last one's end comes back here
  WriteOptions options = controller();
  options.subresource = "finalize";
  (void)rest_.update(
      *table->preferred("namespaces"), "", name,
      [](const Json& current) -> ApiResult<Json> {
        Json changed = current;
        changed["spec"].erase("finalizers");
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
