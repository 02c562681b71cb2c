// cli/manifest.cc: YAML text -> checked Kubernetes objects, each remembering where it was
#include "cli/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "common/json/access.h"
#include "common/yaml/yaml.h"

namespace muster::cli {
namespace {

constexpr std::string_view kMuster = "muster.dev/v1alpha1";
constexpr std::array<ResourceKind, 9> kKinds{{
    {"v1", "Namespace", "namespaces", false, 0},
    {"v1", "ServiceAccount", "serviceaccounts", true, 1},
    {"v1", "ConfigMap", "configmaps", true, 2},
    {"v1", "Secret", "secrets", true, 2},
    {"v1", "PersistentVolumeClaim", "persistentvolumeclaims", true, 2},
    {"v1", "Service", "services", true, 3},
    {"v1", "Pod", "pods", true, 4},
    {kMuster, "DistributedJob", "distributedjobs", true, 5},
    {kMuster, "FederatedRound", "federatedrounds", true, 5},
}};

std::string supported() {
  std::string out;
  for (const ResourceKind& kind : kKinds) {
    if (!out.empty()) out += ", ";
    out += fmt::format("{} ({})", kind.kind, kind.api_version);
  }
  return out;
}

Error at_line(const std::string& file, int line, const std::string& what) {
  return invalid_argument(fmt::format("{}:{}: {}", file, line, what));
}

// Why no kind of the table is meant, and which is the nearest.
std::string unknown_kind(const std::string& api_version, const std::string& kind) {
  for (const ResourceKind& known : kKinds) {
    if (known.kind == kind) {
      return fmt::format("{} has apiVersion '{}', but it is '{}'; write apiVersion: {}", kind, api_version,
                         known.api_version, known.api_version);
    }
  }
  return fmt::format("unknown kind '{}' (apiVersion '{}'); supported are {}{}", kind, api_version,
                     supported(),
                     api_version.find("kubeflow.org") == std::string::npos
                         ? ""
                         : "; muster convert makes a DistributedJob of PyTorchJob, TrainJob and MPIJob");
}

// A field that is there, but no text: YAML reads 1, true, y and no as numbers and booleans.
std::string not_text(const Json& object, const std::string& field) {
  const Json& value = member(object, field);
  if (value.is_null() || value.is_string()) return "";
  const bool quotes = value.is_primitive();
  return fmt::format("{} must be text, is {}{}", field, quotes ? value.dump() : value.type_name(),
                     quotes ? "; put it in double quotes" : "");
}

// kubectl refuses metadata that is not text, before any server sees it.
Status check_metadata(const ManifestObject& object, const Json& metadata) {
  for (const char* field : {"name", "generateName", "namespace"}) {
    if (const std::string wrong = not_text(metadata, field); !wrong.empty())
      return invalid_argument(
          fmt::format("{}: metadata.{}", object.where(fmt::format("metadata.{}", field)), wrong));
  }
  for (const char* map : {"labels", "annotations"}) {
    for (const auto& [key, value] : member(metadata, map).items()) {
      if (const std::string wrong = not_text(member(metadata, map), key); !wrong.empty())
        return invalid_argument(fmt::format(
            "{}: metadata.{}.{}", object.where(fmt::format("metadata.{}.{}", map, key)), map, wrong));
    }
  }
  return {};
}

Status check_header(ManifestObject& object, int line) {
  const Json& value = object.value;
  for (const char* field : {"apiVersion", "kind"}) {
    if (const std::string wrong = not_text(value, field); !wrong.empty())
      return invalid_argument(fmt::format("{}: {}", object.where(field), wrong));
    if (text_at(value, field).empty()) {
      return at_line(object.file, line,
                     fmt::format("the object has no {}; supported are {}", field, supported()));
    }
  }
  const std::string api_version = text_at(value, "apiVersion");
  const std::string kind = text_at(value, "kind");
  object.kind = find_kind(api_version, kind);
  if (object.kind == nullptr) {
    return invalid_argument(fmt::format("{}: {}", object.where("kind"), unknown_kind(api_version, kind)));
  }
  const auto metadata = value.find("metadata");
  const Json header = metadata != value.end() && metadata->is_object() ? *metadata : Json::object();
  MUSTER_TRY(check_metadata(object, header));
  object.name = text_at(header, "name");
  if (object.name.empty() && text_at(header, "generateName").empty()) {
    return invalid_argument(
        fmt::format("{}: the {} has no metadata.name and no metadata.generateName; add "
                    "one",
                    object.where("metadata"), kind));
  }
  if (object.kind->namespaced) {
    object.name_space = text_at(header, "namespace");
    if (object.name_space.empty()) object.name_space = "default";
    object.value["metadata"]["namespace"] = object.name_space;
  }
  return {};
}

bool is_list(const Json& value) {
  return value.is_object() && text_at(value, "kind").ends_with("List") && value.contains("items") &&
         value["items"].is_array();
}

// An item of a PyTorchJobList, as the API serves it, does not say what it is.
void complete_header(Json& item, const Json& list) {
  const std::string kind = text_at(list, "kind");
  if (kind == "List" || !item.is_object()) return;
  item.emplace("apiVersion", text_at(list, "apiVersion"));
  item.emplace("kind", kind.substr(0, kind.size() - std::string_view("List").size()));
}

}  // namespace

const ResourceKind* find_kind(std::string_view api_version, std::string_view kind) {
  for (const ResourceKind& known : kKinds) {
    if (known.api_version == api_version && known.kind == kind) return &known;
  }
  return nullptr;
}

std::string ManifestObject::title() const {
  if (!name.empty()) return fmt::format("{}/{}", kind->kind, name);
  return fmt::format("{}/{}*", kind->kind, text_at(value["metadata"], "generateName"));
}

bool ManifestObject::is_job() const { return kind->api_version == kMuster; }

std::string ManifestObject::where(std::string_view field_path) const {
  for (std::string_view path = field_path; !path.empty();) {
    if (const auto at = lines.find(path); at != lines.end()) return fmt::format("{}:{}", file, at->second);
    const std::size_t cut = path.find_last_of(".[");
    path = cut == std::string_view::npos ? std::string_view() : path.substr(0, cut);
  }
  const auto kind_line = lines.find("kind");
  return kind_line == lines.end() ? file : fmt::format("{}:{}", file, kind_line->second);
}

std::vector<YamlDocument> flatten_lists(std::vector<YamlDocument> documents) {
  std::vector<YamlDocument> out;
  for (YamlDocument& document : documents) {
    if (!is_list(document.value)) {
      out.push_back(std::move(document));
      continue;
    }
    std::size_t index = 0;
    for (Json& item : document.value["items"]) {
      complete_header(item, document.value);
      const std::string prefix = fmt::format("items[{}]", index++);
      YamlDocument single{std::move(item), document.line, {}};
      for (const auto& [path, line] : document.lines) {
        if (path == prefix) single.line = line;
        if (path.starts_with(prefix + ".")) single.lines.emplace(path.substr(prefix.size() + 1), line);
      }
      out.push_back(std::move(single));
    }
  }
  return out;
}

Status check_manifest_size(std::string_view text, const std::string& file) {
  if (text.size() <= kManifestBytesMax) return {};
  return invalid_argument(
      fmt::format("{}: {} bytes are too many for a manifest (at most {}); is this the right file?", file,
                  text.size(), kManifestBytesMax));
}

Result<std::vector<ManifestObject>> parse_manifest(std::string_view text, const std::string& file) {
  MUSTER_TRY(check_manifest_size(text, file));
  MUSTER_ASSIGN(std::vector<YamlDocument> documents, parse_yaml(text, file));
  std::vector<ManifestObject> objects;
  for (YamlDocument& document : flatten_lists(std::move(documents))) {
    if (!document.value.is_object()) {
      return at_line(file, document.line,
                     fmt::format("a manifest must be a map with apiVersion, kind and metadata, this is a {}",
                                 document.value.type_name()));
    }
    ManifestObject object;
    object.value = std::move(document.value);
    object.file = file;
    object.lines = std::move(document.lines);
    MUSTER_TRY(check_header(object, document.line));
    objects.push_back(std::move(object));
  }
  return objects;
}

Status check_together(std::vector<ManifestObject>& objects) {
  std::map<std::string, const ManifestObject*> seen;
  for (const ManifestObject& object : objects) {
    if (object.name.empty()) continue;  // each gets its own from the server
    const std::string key = object.title() + " in namespace '" + object.name_space + "'";
    const auto [earlier, fresh] = seen.emplace(key, &object);
    if (!fresh) {
      return invalid_argument(fmt::format("{}: {} was already given at {}; rename or remove one of them",
                                          object.where("metadata.name"), key,
                                          earlier->second->where("metadata.name")));
    }
  }
  std::stable_sort(objects.begin(), objects.end(), [](const ManifestObject& a, const ManifestObject& b) {
    return a.kind->order < b.kind->order;
  });
  return {};
}

}  // namespace muster::cli
