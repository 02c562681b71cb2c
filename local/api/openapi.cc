// local/api/openapi.cc: OpenAPI documents from the table of kinds
#include "local/api/openapi.h"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <set>

#include "common/platform/mutex.h"
#include "local/api/builtin_types.h"
#include "local/api/http_call.h"
#include "local/api/openapi_protobuf.h"

namespace muster::local {
namespace {

constexpr const char* kApiVersionText =
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert "
    "recognized "
    "schemas to the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
constexpr const char* kKindText =
    "Kind is a string value representing the REST resource this object represents. Servers may infer this "
    "from the "
    "endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
constexpr const char* kMetadataText =
    "Standard object's metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

// "io.k8s.api.core.v1.Pod": explain shows what stands after the last dot.
std::string type_id(const std::string& name) {
  static const std::set<std::string> kMeta = {"ObjectMeta",   "OwnerReference", "ManagedFieldsEntry",
                                              "FieldsV1",     "LabelSelector",  "LabelSelectorRequirement",
                                              "ListMeta",     "Condition",      "DeleteOptions",
                                              "Preconditions"};
  if (name == "IntOrString") return "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
  if (name == "Quantity") return "io.k8s.apimachinery.pkg.api.resource.Quantity";
  if (kMeta.count(name)) return "io.k8s.apimachinery.pkg.apis.meta.v1." + name;
  return "io.k8s.api.core.v1." + name;
}

std::string kind_id(const Kind& kind) {
  if (!kind.custom)
    return fmt::format("io.k8s.api.{}.{}.{}",
                       kind.group.empty() ? "core" : kind.group.substr(0, kind.group.find('.')), kind.version,
                       kind.kind);
  std::string reversed;
  std::string rest = kind.group;
  while (!rest.empty()) {
    const auto dot = rest.rfind('.');
    reversed += rest.substr(dot == std::string::npos ? 0 : dot + 1) + ".";
    rest = dot == std::string::npos ? "" : rest.substr(0, dot);
  }
  return reversed + kind.version + "." + kind.kind;
}

Json gvk(const Kind& kind) {
  return Json{{"group", kind.group}, {"kind", kind.kind}, {"version", kind.version}};
}

// Collects the types that a document refers to.
class Components {
 public:
  explicit Components(bool v3) : prefix_(v3 ? "#/components/schemas/" : "#/definitions/"), v3_(v3) {}

  Json reference(const std::string& id) const { return Json{{"$ref", prefix_ + id}}; }

  // In v3 what stands beside $ref is ignored, so a description needs allOf; v2 knows no allOf here.
  Json described_reference(const std::string& id, const char* description) const {
    Json json = v3_ ? Json{{"allOf", Json::array({reference(id)})}} : reference(id);
    json["description"] = description;
    return json;
  }

  Json inline_type(const Schema& schema) {
    if (!schema.type_name.empty()) {
      add_type(schema);
      return reference(type_id(schema.type_name));
    }
    Json json = Json::object();
    if (const std::string_view type = type_text(schema.type); !type.empty()) json["type"] = type;
    if (!schema.format.empty())
      json["format"] = schema.format == "date-time-micro" ? "date-time" : schema.format;
    if (!schema.enumeration.empty()) json["enum"] = schema.enumeration;
    if (schema.items) json["items"] = inline_type(*schema.items);
    if (schema.additional) json["additionalProperties"] = inline_type(*schema.additional);
    if (schema.patch_merge) {
      json["x-kubernetes-patch-strategy"] = schema.retain_keys ? "merge,retainKeys" : "merge";
      if (!schema.patch_merge_key.empty()) json["x-kubernetes-patch-merge-key"] = schema.patch_merge_key;
    }
    if (!schema.list_type.empty()) json["x-kubernetes-list-type"] = schema.list_type;
    if (!schema.list_map_keys.empty()) json["x-kubernetes-list-map-keys"] = schema.list_map_keys;
    if (schema.type == Schema::Type::kObject && !schema.map_type.empty())
      json["x-kubernetes-map-type"] = schema.map_type;
    return json;
  }

  Json members(const Schema& schema) {
    Json json{{"type", "object"}};
    for (const auto& [name, member] : schema.properties) {
      Json property = name == "fieldsV1" ? fields_v1() : inline_type(*member);
      if (name == "apiVersion" && property.contains("type")) property["description"] = kApiVersionText;
      if (name == "kind" && property.contains("type")) property["description"] = kKindText;
      if (property.contains("$ref")) {  // siblings of $ref are ignored, so a description needs allOf
        property = Json{{"allOf", Json::array({property})}};
        if (name == "metadata") property["description"] = kMetadataText;
      }
      json["properties"][name] = std::move(property);
    }
    if (!schema.required.empty()) json["required"] = schema.required;
    if (schema.map_type == "atomic") json["x-kubernetes-map-type"] = "atomic";
    return json;
  }

  void add(const std::string& id, Json schema) { schemas_[id] = std::move(schema); }
  void add_type(const Schema& schema) {
    const std::string id = type_id(schema.type_name);
    if (schemas_.contains(id)) return;
    schemas_[id] = Json::object();  // a type may hold itself
    Json json;
    if (schema.type_name == "IntOrString")
      json = Json{{"format", "int-or-string"},
                  {"oneOf", Json::array({Json{{"type", "integer"}}, Json{{"type", "string"}}})}};
    else if (schema.type_name == "Quantity")
      json = Json{{"oneOf", Json::array({Json{{"type", "string"}}, Json{{"type", "number"}}})}};
    else
      json = members(schema);
    schemas_[id] = std::move(json);
  }
  const Json& schemas() const { return schemas_; }

 private:
  Json fields_v1() {
    schemas_[type_id("FieldsV1")] = Json{{"type", "object"}};
    return reference(type_id("FieldsV1"));
  }

  std::string prefix_;
  bool v3_;
  Json schemas_ = Json::object();
};

// A CRD's schema as written, with what every object has.
Json custom_schema(const Kind& kind, Components& components) {
  Json schema = kind.openapi;
  schema["properties"]["apiVersion"] = Json{{"type", "string"}, {"description", kApiVersionText}};
  schema["properties"]["kind"] = Json{{"type", "string"}, {"description", kKindText}};
  components.add_type(*object_meta_schema());
  schema["properties"]["metadata"] = components.described_reference(type_id("ObjectMeta"), kMetadataText);
  return schema;
}

void add_kind(const Kind& kind, Components& components) {
  Json schema = kind.custom ? custom_schema(kind, components) : components.members(*kind.schema);
  schema["x-kubernetes-group-version-kind"] = Json::array({gvk(kind)});
  components.add(kind_id(kind), std::move(schema));
  if (kind.create_only) return;
  components.add_type(*builtin_type("ListMeta"));
  Json list_kind = gvk(kind);
  list_kind["kind"] = kind.list_kind;
  components.add(
      kind_id(kind) + "List",
      Json{{"type", "object"},
           {"required", Json::array({"items"})},
           {"properties",
            Json{{"apiVersion", Json{{"type", "string"}}},
                 {"kind", Json{{"type", "string"}}},
                 {"metadata", Json{{"allOf", Json::array({components.reference(type_id("ListMeta"))})}}},
                 {"items", Json{{"type", "array"}, {"items", components.reference(kind_id(kind))}}}}},
           {"x-kubernetes-group-version-kind", Json::array({list_kind})}});
}

Json parameter(const char* name, const char* in, bool v3) {
  Json json{{"name", name}, {"in", in}};
  if (v3)
    json["schema"] = Json{{"type", "string"}, {"uniqueItems", true}};
  else
    json["type"] = "string";
  if (std::string_view(in) == "path") json["required"] = true;
  return json;
}

Json operation(const Kind& kind, const char* action, bool write, bool v3, const Components& components) {
  Json json{{"x-kubernetes-action", action}, {"x-kubernetes-group-version-kind", gvk(kind)}};
  Json parameters = Json::array();
  if (write)
    for (const char* name : {"dryRun", "fieldManager", "fieldValidation"})
      parameters.push_back(parameter(name, "query", v3));
  if (std::string_view(action) == "patch") parameters.push_back(parameter("force", "query", v3));
  json["parameters"] = parameters;
  Json good{{"description", "OK"}};
  if (v3) good["content"]["application/json"]["schema"] = components.reference(kind_id(kind));
  json["responses"] = Json{{"200", good}};
  if (v3 && std::string_view(action) == "patch") {  // apply chooses its kind of patch by this list
    for (const char* type :
         {"application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"})
      json["requestBody"]["content"][type]["schema"] = Json{{"type", "object"}};
    if (!kind.custom)
      json["requestBody"]["content"]["application/strategic-merge-patch+json"]["schema"] =
          Json{{"type", "object"}};
  }
  return json;
}

void add_paths(const Kind& kind, bool v3, const Components& components, Json& paths) {
  const std::string root = kind.group.empty() ? "/api/v1" : "/apis/" + kind.group + "/" + kind.version;
  const std::string base = root + (kind.namespaced ? "/namespaces/{namespace}/" : "/") + kind.plural;
  Json path_parameters = Json::array();
  if (kind.namespaced) path_parameters.push_back(parameter("namespace", "path", v3));
  Json collection{{"post", operation(kind, "post", true, v3, components)}, {"parameters", path_parameters}};
  if (!kind.create_only) {
    collection["get"] = operation(kind, "list", false, v3, components);
    collection["delete"] = operation(kind, "deletecollection", false, v3, components);
  }
  paths[base] = collection;
  if (kind.create_only) return;
  if (kind.namespaced)
    paths[root + "/" + kind.plural] = Json{{"get", operation(kind, "list", false, v3, components)}};
  path_parameters.push_back(parameter("name", "path", v3));
  const Json one{{"get", operation(kind, "get", false, v3, components)},
                 {"put", operation(kind, "put", true, v3, components)},
                 {"patch", operation(kind, "patch", true, v3, components)},
                 {"delete", operation(kind, "delete", true, v3, components)},
                 {"parameters", path_parameters}};
  paths[base + "/{name}"] = one;
  Json sub = one;
  sub.erase("delete");
  if (kind.has_status) paths[base + "/{name}/status"] = sub;
  if (kind.scale) paths[base + "/{name}/scale"] = sub;
}

std::string hash_of(const std::string& text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  std::string hex;
  for (const unsigned char byte : digest) hex += fmt::format("{:02X}", byte);
  return hex;
}

struct Document {
  std::string text, hash;
};

// Documents are made once for each table of kinds.
std::shared_ptr<const Document> document(const KindTable& table, const std::string& group,
                                         const std::string& version) {
  static Mutex mutex;
  static std::map<std::string, std::pair<std::vector<KindPtr>, std::shared_ptr<const Document>>> cache
      MUSTER_GUARDED_BY(mutex);
  std::vector<KindPtr> kinds;
  for (const KindPtr& kind : table.kinds())
    if (kind->group == group && kind->version == version) kinds.push_back(kind);
  const std::string key = group + "/" + version;
  {
    const MutexLock lock(mutex);
    const auto it = cache.find(key);
    if (it != cache.end() && it->second.first == kinds) return it->second.second;
  }
  Components components(true);
  Json paths = Json::object();
  for (const KindPtr& kind : kinds) {
    add_kind(*kind, components);
    add_paths(*kind, true, components, paths);
  }
  if (std::any_of(kinds.begin(), kinds.end(), [](const KindPtr& kind) { return kind->scale.has_value(); }))
    components.add("io.k8s.api.autoscaling.v1.Scale", components.members(*builtin_type("Scale")));
  auto made = std::make_shared<Document>();
  made->text = Json{{"openapi", "3.0.0"},
                    {"info", Json{{"title", "Kubernetes"}, {"version", "v1.33.0"}}},
                    {"paths", paths},
                    {"components", Json{{"schemas", components.schemas()}}}}
                   .dump();
  made->hash = hash_of(made->text);
  const MutexLock lock(mutex);
  cache[key] = {kinds, made};
  return made;
}

}  // namespace

HttpResponse openapi_v3(const KindTable& table, const HttpRequest& request) {
  std::string path = request.path.substr(std::string("/openapi/v3").size());
  if (path.empty() || path == "/") {
    Json paths = Json::object();
    for (const auto& gv : table.group_versions()) {
      const std::string name = gv.group.empty() ? "api/" + gv.version : "apis/" + gv.group + "/" + gv.version;
      paths[name] = Json{{"serverRelativeURL",
                          "/openapi/v3/" + name + "?hash=" + document(table, gv.group, gv.version)->hash}};
    }
    HttpResponse index = json_response(Json{{"paths", paths}}, request);
    index.content_type = "text/plain; charset=utf-8";
    return index;
  }
  std::string group, version;
  if (path.rfind("/api/", 0) == 0) {
    version = path.substr(5);
  } else if (path.rfind("/apis/", 0) == 0 && path.find('/', 6) != std::string::npos) {
    group = path.substr(6, path.find('/', 6) - 6);
    version = path.substr(path.find('/', 6) + 1);
  }
  HttpResponse response;
  if (!table.has_group_version(group, version)) {
    response.status = 404;
    response.content_type = "text/plain; charset=utf-8";
    response.body = "404 page not found\n";
    return response;
  }
  const auto made = document(table, group, version);
  const std::string_view hash = request.parameter("hash");
  if (!hash.empty() && hash != made->hash) {
    response.status = 301;
    response.headers.emplace_back("Location", request.path + "?hash=" + made->hash);
    return response;
  }
  response.body = made->text;
  response.headers.emplace_back("ETag", "\"" + made->hash + "\"");
  if (!hash.empty()) response.headers.emplace_back("Cache-Control", "public, immutable");
  return response;
}

HttpResponse openapi_v2(const KindTable& table, const HttpRequest& request) {
  Components components(false);
  Json paths = Json::object();
  for (const KindPtr& kind : table.kinds()) {
    add_kind(*kind, components);
    add_paths(*kind, false, components, paths);
  }
  const Json document{{"swagger", "2.0"},
                      {"info", Json{{"title", "Kubernetes"}, {"version", "v1.33.0"}}},
                      {"paths", paths},
                      {"definitions", components.schemas()}};
  if (request.header("accept").find(kOpenApiV2Accept) == std::string_view::npos)
    return json_response(document, request);
  HttpResponse response;
  response.content_type = kOpenApiV2Type;
  response.body = openapi_v2_protobuf(document);
  return response;
}

}  // namespace muster::local
