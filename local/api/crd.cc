// local/api/crd.cc: from a CustomResourceDefinition to kinds
#include "local/api/crd.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "local/api/json_path.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

std::vector<std::string> texts(const Json& array) {
  std::vector<std::string> values;
  for (const Json& value : array)
    if (value.is_string()) values.push_back(value.get<std::string>());
  return values;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// v2 before v1 before v1beta2 before v1alpha1 before words, as clients expect it.
int version_rank(const std::string& version) {
  int major = 0, stage = 3, minor = 0;
  char word[16] = {};
  const int fields = std::sscanf(version.c_str(), "v%d%15[a-z]%d", &major, word, &minor);
  if (fields < 1) return 0;
  if (fields >= 2) stage = std::string_view(word) == "beta" ? 2 : std::string_view(word) == "alpha" ? 1 : 0;
  return stage * 1000000 + std::min(major, 999) * 1000 + std::min(minor, 999);
}

SchemaPtr object_schema(const Json& openapi) {
  FieldErrors ignored;
  const SchemaPtr compiled = compile_schema(openapi, "", ignored);
  auto schema = std::make_shared<Schema>(*compiled);
  auto text = std::make_shared<Schema>();
  text->type = Schema::Type::kString;
  auto metadata = std::make_shared<Schema>();
  metadata->type = Schema::Type::kObject;
  metadata->preserve_unknown = true;  // it has rules of its own
  if (const auto it = schema->properties.find("metadata"); it != schema->properties.end()) {
    auto given = std::make_shared<Schema>(*it->second);
    given->preserve_unknown = true;
    metadata = given;
  }
  schema->type = Schema::Type::kObject;
  schema->properties["apiVersion"] = text;
  schema->properties["kind"] = text;
  schema->properties["metadata"] = metadata;
  return schema;
}

std::vector<PrinterColumn> columns_of(const Json& version) {
  std::vector<PrinterColumn> columns;
  for (const Json& from : array_of(version, "additionalPrinterColumns")) {
    PrinterColumn column;
    column.name = text_of(from, "name");
    column.type = text_of(from, "type");
    column.format = text_of(from, "format");
    column.description = text_of(from, "description");
    column.json_path = text_of(from, "jsonPath");
    if (const auto it = from.find("priority"); it != from.end() && it->is_number())
      column.priority = it->get<int>();
    columns.push_back(std::move(column));
  }
  return columns;
}

Json condition(const char* type, const char* status, const char* reason, const std::string& message,
               const std::string& time) {
  return Json{{"type", type},
              {"status", status},
              {"reason", reason},
              {"message", message},
              {"lastTransitionTime", time}};
}

void check_names(const Json& crd, FieldErrors& errors) {
  const Json& spec = object_of(crd, "spec");
  const Json& names = object_of(spec, "names");
  const std::string group = text_of(spec, "group");
  const std::string plural = text_of(names, "plural");
  const std::string name = meta_text(crd, "name");
  if (name != plural + "." + group)
    errors.push_back(
        FieldError::invalid("metadata.name", name, "must be spec.names.plural+\".\"+spec.group"));
  if (group.empty())
    errors.push_back(FieldError::required("spec.group"));
  else if (!check_dns_subdomain(group).empty())
    errors.push_back(FieldError::invalid("spec.group", group, check_dns_subdomain(group).front()));
  else if (group.find('.') == std::string::npos)
    errors.push_back(FieldError::invalid("spec.group", group, "should be a domain with at least one dot"));
  const std::string scope = text_of(spec, "scope");
  if (scope.empty())
    errors.push_back(FieldError::required("spec.scope"));
  else if (scope != "Namespaced" && scope != "Cluster")
    errors.push_back(FieldError::not_supported("spec.scope", scope, {"Cluster", "Namespaced"}));
  for (const char* field : {"plural", "singular", "kind", "listKind"}) {
    const std::string value = text_of(names, field);
    if (value.empty())
      errors.push_back(FieldError::required(std::string("spec.names.") + field));
    else
      for (const std::string& wrong : check_dns1035_label(lower(value)))
        errors.push_back(FieldError::invalid(std::string("spec.names.") + field, value, wrong));
  }
  if (text_of(names, "kind") == text_of(names, "listKind") && !text_of(names, "kind").empty())
    errors.push_back(FieldError::invalid("spec.names.listKind", text_of(names, "listKind"),
                                         "kind and listKind may not be the same"));
}

// A default must itself be valid.
void check_defaults(const Schema& schema, const std::string& path, FieldErrors& errors) {
  if (schema.default_value) {
    FieldErrors wrong;
    validate_schema(*schema.default_value, schema, "", wrong);
    for (FieldError& error : wrong) {
      error.field =
          path + ".default" + (error.field.empty() || error.field.front() == '[' ? "" : ".") + error.field;
      errors.push_back(std::move(error));
    }
  }
  for (const auto& [name, member] : schema.properties)
    check_defaults(*member, path + ".properties[" + name + "]", errors);
  if (schema.items) check_defaults(*schema.items, path + ".items", errors);
  if (schema.additional) check_defaults(*schema.additional, path + ".additionalProperties", errors);
}

// A real server shows the schema of a definition's only version as if it were that of the whole definition.
void check_version(const Json& version, const std::string& path, bool only, FieldErrors& errors) {
  for (const std::string& wrong : check_dns1035_label(text_of(version, "name")))
    errors.push_back(FieldError::invalid(path + ".name", text_of(version, "name"), wrong));
  const Json& schema = object_of(version, "schema");
  if (!schema.contains("openAPIV3Schema")) {
    errors.push_back(FieldError::required(path + ".schema.openAPIV3Schema", "schemas are required"));
    return;
  }
  const std::string root = only ? "spec.validation.openAPIV3Schema" : path + ".schema.openAPIV3Schema";
  const Json& openapi = schema["openAPIV3Schema"];
  if (text_of(openapi, "type") != "object")
    errors.push_back(
        text_of(openapi, "type").empty()
            ? FieldError::required(root + ".type", "must not be empty at the root")
            : FieldError::invalid(root + ".type", text_of(openapi, "type"), "must be object at the root"));
  const SchemaPtr compiled = compile_schema(openapi, root, errors);
  check_defaults(*compiled, root, errors);
  const Json& columns = array_of(version, "additionalPrinterColumns");
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::string at = fmt::format("{}.additionalPrinterColumns[{}]", path, i);
    const std::string type = text_of(columns[i], "type");
    if (text_of(columns[i], "name").empty()) errors.push_back(FieldError::required(at + ".name"));
    if (type != "integer" && type != "number" && type != "string" && type != "boolean" && type != "date")
      errors.push_back(
          FieldError::invalid(at + ".type", type, "must be one of boolean,date,integer,number,string"));
    if (const auto column = JsonPath::compile(text_of(columns[i], "jsonPath")); !column)
      errors.push_back(
          FieldError::invalid(at + ".jsonPath", text_of(columns[i], "jsonPath"), column.error().message));
  }
}

}  // namespace

void default_crd(Json& crd) {
  Json& names = crd["spec"]["names"];
  if (!names.is_object()) names = Json::object();
  if (text_of(names, "singular").empty()) names["singular"] = lower(text_of(names, "kind"));
  if (text_of(names, "listKind").empty() && !text_of(names, "kind").empty())
    names["listKind"] = text_of(names, "kind") + "List";
  if (!crd["spec"].contains("conversion")) crd["spec"]["conversion"] = Json{{"strategy", "None"}};
}

FieldErrors validate_crd(const Json& crd, const Json* old) {
  FieldErrors errors;
  check_names(crd, errors);
  const Json& versions = array_of(object_of(crd, "spec"), "versions");
  int storage = 0;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < versions.size(); ++i) {
    const std::string path = fmt::format("spec.versions[{}]", i);
    check_version(versions[i], path, versions.size() == 1, errors);
    if (versions[i].value("storage", Json(false)) == Json(true)) ++storage;
    if (!seen.insert(text_of(versions[i], "name")).second)
      errors.push_back(FieldError::invalid(path + ".name", text_of(versions[i], "name"), "must be unique"));
  }
  if (storage != 1) {
    errors.push_back({"FieldValueInvalid", "spec.versions",
                      "Invalid value: apiextensions.CustomResourceDefinitionVersion{}: must have exactly one "
                      "version marked as storage version"});
    errors.push_back({"FieldValueInvalid", "status.storedVersions",
                      "Invalid value: []string(nil): must have at least one stored version"});
  }
  if (object_of(object_of(crd, "spec"), "conversion").value("strategy", "None") != "None")
    errors.push_back(FieldError::not_supported(
        "spec.conversion.strategy", object_of(object_of(crd, "spec"), "conversion")["strategy"], {"None"}));
  if (old != nullptr) {
    const auto fixed = [&](const char* pointer, const char* path) {
      const Json::json_pointer at(pointer);
      const Json before = old->contains(at) ? (*old)[at] : Json();
      const Json now = crd.contains(at) ? crd[at] : Json();
      if (before != now) errors.push_back(FieldError::invalid(path, now, "field is immutable"));
    };
    fixed("/spec/group", "spec.group");
    fixed("/spec/scope", "spec.scope");
    fixed("/spec/names/kind", "spec.names.kind");
    fixed("/spec/names/plural", "spec.names.plural");
  }
  return errors;
}

std::vector<KindPtr> kinds_of_crd(const Json& crd) {
  const Json& spec = object_of(crd, "spec");
  const Json& names = object_of(spec, "names");
  std::vector<KindPtr> kinds;
  for (const Json& version : array_of(spec, "versions")) {
    if (version.value("served", Json(false)) != Json(true)) continue;
    auto kind = std::make_shared<Kind>();
    kind->group = text_of(spec, "group");
    kind->version = text_of(version, "name");
    kind->kind = text_of(names, "kind");
    kind->list_kind = text_of(names, "listKind");
    kind->plural = text_of(names, "plural");
    kind->singular = text_of(names, "singular");
    kind->short_names = texts(array_of(names, "shortNames"));
    kind->categories = texts(array_of(names, "categories"));
    kind->verbs = {"delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"};
    kind->namespaced = text_of(spec, "scope") == "Namespaced";
    kind->custom = true;
    kind->crd = meta_text(crd, "name");
    kind->terminating = is_terminating(crd);
    const Json& subresources = object_of(version, "subresources");
    kind->has_status = subresources.contains("status");
    if (const Json& scale = object_of(subresources, "scale"); !scale.empty())
      kind->scale = ScalePaths{text_of(scale, "specReplicasPath"), text_of(scale, "statusReplicasPath"),
                               text_of(scale, "labelSelectorPath")};
    for (const Json& field : array_of(version, "selectableFields"))
      kind->selectable_fields.push_back(text_of(field, "jsonPath"));
    kind->columns = columns_of(version);
    kind->openapi = object_of(object_of(version, "schema"), "openAPIV3Schema");
    kind->schema = object_schema(kind->openapi);
    kinds.push_back(std::move(kind));
  }
  std::stable_sort(kinds.begin(), kinds.end(), [](const KindPtr& a, const KindPtr& b) {
    return version_rank(a->version) > version_rank(b->version);
  });
  return kinds;
}

bool establish_crd(Json& crd, const KindTable& others, WallTime now) {
  const Json before = crd;
  const Json& names = object_of(object_of(crd, "spec"), "names");
  const std::string group = text_of(object_of(crd, "spec"), "group");
  std::string conflict;
  for (const KindPtr& other : others.kinds()) {
    if (other->group != group || other->crd == meta_text(crd, "name")) continue;
    if (other->kind == text_of(names, "kind"))
      conflict = fmt::format("{} is already in use", go_quote(other->kind));
    if (other->singular == text_of(names, "singular"))
      conflict = fmt::format("{} is already in use", go_quote(other->singular));
  }
  const std::string time = format_time(now);
  Json& status = crd["status"];
  if (!status.is_object()) status = Json::object();
  const auto set = [&](const Json& wanted) {
    Json& conditions = status["conditions"];
    if (!conditions.is_array()) conditions = Json::array();
    for (Json& each : conditions)
      if (text_of(each, "type") == text_of(wanted, "type")) {
        if (text_of(each, "status") != text_of(wanted, "status")) each = wanted;
        return;
      }
    conditions.push_back(wanted);
  };
  if (conflict.empty()) {
    set(condition("NamesAccepted", "True", "NoConflicts", "no conflicts found", time));
    set(condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted",
                  time));
    status["acceptedNames"] = names;
  } else {
    set(condition("NamesAccepted", "False", "KindConflict", conflict, time));
    set(condition("Established", "False", "NotAccepted", "not all names are accepted", time));
    if (!status.contains("acceptedNames")) status["acceptedNames"] = Json{{"kind", ""}, {"plural", ""}};
  }
  Json stored = status.value("storedVersions", Json::array());
  for (const Json& version : array_of(object_of(crd, "spec"), "versions"))
    if (version.value("storage", Json(false)) == Json(true) &&
        std::find(stored.begin(), stored.end(), version["name"]) == stored.end())
      stored.push_back(version["name"]);
  status["storedVersions"] = stored;
  return crd != before;
}

}  // namespace muster::local
