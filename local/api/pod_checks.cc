// local/api/pod_checks.cc: paths and field references of pods, as a real server judges them
#include "local/api/pod_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "local/api/metadata.h"

namespace muster::local {
namespace {

void check_path(const std::string& path, const std::string& at, FieldErrors& errors) {
  if (path.starts_with('/')) errors.push_back(FieldError::invalid(at, path, "must be a relative path"));
  for (std::size_t from = 0; from <= path.size();) {
    const std::size_t end = std::min(path.find('/', from), path.size());
    if (path.substr(from, end - from) == "..") {
      errors.push_back(FieldError::invalid(at, path, "must not contain '..'"));
      return;
    }
    from = end + 1;
  }
}

void check_items(const Json& source, const std::string& at, FieldErrors& errors) {
  const Json& items = array_of(source, "items");
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string field = fmt::format("{}.items[{}].path", at, i);
    const std::string path = text_at(items[i], "path");
    if (path.empty())
      errors.push_back(FieldError::required(field));
    else
      check_path(path, field, errors);
  }
}

bool climbs(const std::string& path) {
  const std::string framed = "/" + path + "/";
  return framed.find("/../") != std::string::npos;
}

bool known_field(std::string_view path) {
  constexpr std::array kFields{
      "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
      "status.hostIP", "status.hostIPs",     "status.podIP", "status.podIPs"};
  if (std::ranges::find(kFields, path) != kFields.end()) return true;
  return (path.starts_with("metadata.labels['") || path.starts_with("metadata.annotations['")) &&
         path.ends_with("']");
}

}  // namespace

void check_pod_paths(const Json& spec, const std::string& root, FieldErrors& errors) {
  for (const char* list : {"containers", "initContainers"}) {
    const Json& containers = array_of(spec, list);
    for (std::size_t i = 0; i < containers.size(); ++i) {
      const Json& mounts = array_of(containers[i], "volumeMounts");
      for (std::size_t k = 0; k < mounts.size(); ++k) {
        for (const char* member : {"subPath", "subPathExpr"})
          check_path(text_at(mounts[k], member),
                     fmt::format("{}.{}[{}].volumeMounts[{}].{}", root, list, i, k, member), errors);
      }
    }
  }
  const Json& volumes = array_of(spec, "volumes");
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    const std::string at = fmt::format("{}.volumes[{}]", root, i);
    for (const char* kind : {"configMap", "secret", "downwardAPI"})
      check_items(object_of(volumes[i], kind), fmt::format("{}.{}", at, kind), errors);
    const Json& sources = array_of(object_of(volumes[i], "projected"), "sources");
    for (std::size_t k = 0; k < sources.size(); ++k) {
      for (const char* kind : {"configMap", "secret", "downwardAPI"})
        check_items(object_of(sources[k], kind), fmt::format("{}.projected.sources[{}].{}", at, k, kind),
                    errors);
    }
  }
}

void check_host_path(const Json& volume, const std::string& at, FieldErrors& errors) {
  const Json& source = object_of(volume, "hostPath");
  if (const std::string path = text_at(source, "path"); climbs(path))
    errors.push_back(FieldError::invalid(at + ".hostPath.path", path, "must not contain '..'"));
  static const std::vector<std::string> kTypes = {
      "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"};
  if (const std::string type = text_at(source, "type"); std::ranges::find(kTypes, type) == kTypes.end())
    errors.push_back(FieldError::not_supported(at + ".hostPath.type", type, kTypes));
}

void check_variable_field(const Json& env, const std::string& at, FieldErrors& errors) {
  const Json& source = object_of(env, "valueFrom");
  if (!source.contains("fieldRef")) return;
  const std::string path = text_at(object_of(source, "fieldRef"), "fieldPath");
  if (known_field(path)) return;
  errors.push_back(
      FieldError::invalid(at + ".valueFrom.fieldRef.fieldPath", path,
                          fmt::format("error converting fieldPath: field label not supported: {}", path)));
}

std::string changed_fields(const Json& old_spec, const Json& spec) {
  std::string out;
  Json all = old_spec;
  all.update(spec);
  for (const auto& [name, value] : all.items()) {
    const Json before = old_spec.value(name, Json());
    const Json after = spec.value(name, Json());
    if (before != after) out += fmt::format("  spec.{}: {} -> {}\n", name, before.dump(), after.dump());
  }
  return out;
}

}  // namespace muster::local
