// local/api/metadata.cc: the rules of ObjectMeta
#include "local/api/metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/base/rfc3339.h"
#include "local/api/crd.h"

namespace muster::local {
namespace {

constexpr std::size_t kGeneratedNameMax = 63 - 5;
constexpr std::size_t kAnnotationBytesMax = 256 * 1024;

std::vector<std::string> check_name(const Kind& kind, const std::string& name) {
  const std::string resource = kind.resource();
  if (resource == "namespaces") return check_dns_label(name);
  if (resource == "services") return check_dns1035_label(name);
  if (kind.group == "rbac.authorization.k8s.io") return check_path_segment(name);
  return check_dns_subdomain(name);
}

void check_labels(const Json& metadata, FieldErrors& errors) {
  for (const auto& [key, value] : object_of(metadata, "labels").items()) {
    for (const std::string& wrong : check_qualified_name(key))
      errors.push_back(FieldError::invalid("metadata.labels", key, wrong));
    if (value.is_string())
      for (const std::string& wrong : check_label_value(value.get<std::string>()))
        errors.push_back(FieldError::invalid("metadata.labels", value, wrong));
  }
}

void check_annotations(const Json& metadata, FieldErrors& errors) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : object_of(metadata, "annotations").items()) {
    std::string lower = key;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    for (const std::string& wrong : check_qualified_name(lower))
      errors.push_back(FieldError::invalid("metadata.annotations", key, wrong));
    bytes += key.size() + (value.is_string() ? value.get_ref<const std::string&>().size() : 0);
  }
  if (bytes > kAnnotationBytesMax)
    errors.push_back({"FieldValueTooLong", "metadata.annotations",
                      fmt::format("Too long: may not be more than {} bytes", kAnnotationBytesMax)});
}

void check_owners(const Json& metadata, FieldErrors& errors) {
  const Json& owners = array_of(metadata, "ownerReferences");
  std::vector<std::string> controllers;
  for (std::size_t i = 0; i < owners.size(); ++i) {
    for (const char* name : {"apiVersion", "kind", "name", "uid"})
      if (text_at(owners[i], name).empty())
        errors.push_back(FieldError::invalid(
            std::string("metadata.ownerReferences.") + name, "",
            fmt::format("{} must not be empty", std::string_view(name) == "apiVersion" ? "version" : name)));
    if (owners[i].is_object() && owners[i].value("controller", Json(false)) == Json(true))
      controllers.push_back(text_at(owners[i], "name"));
  }
  if (controllers.size() > 1)
    errors.push_back(FieldError::invalid(
        "metadata.ownerReferences", owners,
        fmt::format(
            "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
            controllers[0], controllers[1])));
}

}  // namespace

const Json& object_of(const Json& object, const char* name) {
  static const Json kEmpty = Json::object();
  if (!object.is_object()) return kEmpty;
  const auto it = object.find(name);
  return it != object.end() && it->is_object() ? *it : kEmpty;
}

const Json& array_of(const Json& object, const char* name) {
  static const Json kEmpty = Json::array();
  if (!object.is_object()) return kEmpty;
  const auto it = object.find(name);
  return it != object.end() && it->is_array() ? *it : kEmpty;
}

std::vector<std::string> finalizers_of(const Json& object) {
  std::vector<std::string> names;
  for (const Json& name : array_of(object_of(object, "metadata"), "finalizers"))
    if (name.is_string()) names.push_back(name.get<std::string>());
  return names;
}

bool has_finalizer(const Json& object, std::string_view finalizer) {
  const auto names = finalizers_of(object);
  return std::find(names.begin(), names.end(), finalizer) != names.end();
}

bool is_terminating(const Json& object) { return !meta_text(object, "deletionTimestamp").empty(); }

void prepare_new_metadata(const Kind& kind, const std::string& ns, WallTime now, Json& object) {
  Json& metadata = object["metadata"];
  for (const char* name :
       {"resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"})
    metadata.erase(name);
  if (kind.namespaced) metadata["namespace"] = ns;
  if (text_at(metadata, "name").empty()) {
    const std::string base = text_at(metadata, "generateName");
    if (!base.empty()) metadata["name"] = base.substr(0, kGeneratedNameMax) + random_suffix();
  }
  metadata["uid"] = new_uid();
  metadata["creationTimestamp"] = rfc3339(now);
  if (kind.custom || kind.has_generation) metadata["generation"] = 1;
  for (const char* name : {"labels", "annotations", "finalizers", "ownerReferences"})
    if (const auto it = metadata.find(name); it != metadata.end() && (it->is_null() || it->empty()))
      metadata.erase(it);
}

void keep_metadata(const Json& old, Json& object) {
  const Json& before = object_of(old, "metadata");
  Json& metadata = object["metadata"];
  for (const char* name : {"uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
                           "generation", "generateName", "selfLink"}) {
    if (before.contains(name))
      metadata[name] = before[name];
    else
      metadata.erase(name);
  }
  for (const char* name : {"labels", "annotations", "finalizers", "ownerReferences"})
    if (const auto it = metadata.find(name); it != metadata.end() && (it->is_null() || it->empty()))
      metadata.erase(it);
}

FieldErrors validate_metadata(const Kind& kind, const Json& object) {
  FieldErrors errors;
  const Json& metadata = object_of(object, "metadata");
  const std::string name = text_at(metadata, "name");
  if (std::string base = text_at(metadata, "generateName"); !base.empty()) {
    const std::string shown = base;
    if (base.size() > 1 && base.back() == '-') base.back() = 'a';  // what follows makes it a whole name
    for (const std::string& wrong : check_name(kind, base))
      errors.push_back(FieldError::invalid("metadata.generateName", shown, wrong));
  }
  if (name.empty()) {
    errors.push_back(FieldError::required("metadata.name", "name or generateName is required"));
  } else {
    for (const std::string& wrong : check_name(kind, name))
      errors.push_back(FieldError::invalid("metadata.name", name, wrong));
  }
  check_labels(metadata, errors);
  check_annotations(metadata, errors);
  check_owners(metadata, errors);
  const std::vector<std::string> finalizers = finalizers_of(object);
  for (std::size_t i = 0; i < finalizers.size(); ++i) {
    const std::string& finalizer = finalizers[i];
    for (const std::string& wrong : check_qualified_name(finalizer))
      errors.push_back(FieldError::invalid("metadata.finalizers", finalizer, wrong));
    if (finalizer.find('/') == std::string::npos && finalizer != "orphan" &&
        finalizer != "foregroundDeletion" && !kind.custom && finalizer != "kubernetes" &&
        finalizer != kCrdFinalizer)
      errors.push_back(
          FieldError::invalid(fmt::format("metadata.finalizers[{}]", i), finalizer,
                              "name is neither a standard finalizer name nor is it fully qualified"));
  }
  return errors;
}

FieldErrors validate_metadata_update(const Json& object, const Json& old) {
  FieldErrors errors;
  for (const char* name : {"name", "namespace"})
    if (meta_text(object, name) != meta_text(old, name))
      errors.push_back(FieldError::invalid(std::string("metadata.") + name, meta_text(object, name),
                                           "field is immutable"));
  if (!is_terminating(old)) return errors;
  const auto before = finalizers_of(old);
  std::vector<std::string> added;
  for (const std::string& finalizer : finalizers_of(object))
    if (std::find(before.begin(), before.end(), finalizer) == before.end()) added.push_back(finalizer);
  if (!added.empty())
    errors.push_back(FieldError::forbidden(
        "metadata.finalizers",
        fmt::format("no new finalizers can be added if the object is being deleted, found new finalizers "
                    "[]string{{\"{}\"}}",
                    fmt::join(added, "\", \""))));
  return errors;
}

bool spec_differs(const Json& a, const Json& b) {
  const auto covers = [](const Json& x, const Json& y) {
    for (const auto& [name, value] : x.items()) {
      if (name == "metadata" || name == "status" || name == "apiVersion" || name == "kind") continue;
      const auto it = y.find(name);
      if (it == y.end() || *it != value) return false;
    }
    return true;
  };
  return !covers(a, b) || !covers(b, a);
}

bool same_object(const Json& a, const Json& b) {
  const auto plain = [](Json object) {
    if (!object.contains("metadata")) return object;
    object["metadata"].erase("resourceVersion");
    for (Json& entry : object["metadata"]["managedFields"])
      if (entry.is_object()) entry.erase("time");
    return object;
  };
  return plain(a) == plain(b);
}

}  // namespace muster::local
