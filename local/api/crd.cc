// local/api/crd.cc: from a CustomResourceDefinition to kinds
#include "local/api/crd.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/rfc3339.h"
#include "common/json/access.h"
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
    column.name = text_at(from, "name");
    column.type = text_at(from, "type");
    column.format = text_at(from, "format");
    column.description = text_at(from, "description");
    column.json_path = text_at(from, "jsonPath");
    if (const auto it = from.find("priority"); it != from.end() && it->is_number_integer())
      column.priority = static_cast<int>(std::clamp<std::int64_t>(it->get<std::int64_t>(), 0, 1000));
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

}  // namespace

void default_crd(Json& crd) {
  Json& names = crd["spec"]["names"];
  if (!names.is_object()) names = Json::object();
  if (text_at(names, "singular").empty()) names["singular"] = lower(text_at(names, "kind"));
  if (text_at(names, "listKind").empty() && !text_at(names, "kind").empty())
    names["listKind"] = text_at(names, "kind") + "List";
  if (!crd["spec"].contains("conversion")) crd["spec"]["conversion"] = Json{{"strategy", "None"}};
}

std::vector<KindPtr> kinds_of_crd(const Json& crd) {
  const Json& spec = object_of(crd, "spec");
  const Json& names = object_of(spec, "names");
  std::vector<KindPtr> kinds;
  for (const Json& version : array_of(spec, "versions")) {
    if (version.value("served", Json(false)) != Json(true)) continue;
    auto kind = std::make_shared<Kind>();
    kind->group = text_at(spec, "group");
    kind->version = text_at(version, "name");
    kind->kind = text_at(names, "kind");
    kind->list_kind = text_at(names, "listKind");
    kind->plural = text_at(names, "plural");
    kind->singular = text_at(names, "singular");
    kind->short_names = texts(array_of(names, "shortNames"));
    kind->categories = texts(array_of(names, "categories"));
    kind->verbs = {"delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"};
    kind->namespaced = text_at(spec, "scope") == "Namespaced";
    kind->custom = true;
    kind->crd = meta_text(crd, "name");
    kind->terminating = is_terminating(crd);
    kind->restated =
        array_of(spec, "versions").size() > 1 || integer(member(crd, "metadata", "generation"), 1) > 1;
    const Json& subresources = object_of(version, "subresources");
    kind->has_status = subresources.contains("status");
    if (const Json& scale = object_of(subresources, "scale"); !scale.empty())
      kind->scale = ScalePaths{text_at(scale, "specReplicasPath"), text_at(scale, "statusReplicasPath"),
                               text_at(scale, "labelSelectorPath")};
    for (const Json& field : array_of(version, "selectableFields"))
      kind->selectable_fields.push_back(text_at(field, "jsonPath"));
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
  const std::string group = text_at(object_of(crd, "spec"), "group");
  std::string conflict;
  for (const KindPtr& other : others.kinds()) {
    if (other->group != group || other->crd == meta_text(crd, "name")) continue;
    if (other->kind == text_at(names, "kind"))
      conflict = fmt::format("{} is already in use", go_quote(other->kind));
    if (other->singular == text_at(names, "singular"))
      conflict = fmt::format("{} is already in use", go_quote(other->singular));
  }
  const std::string time = rfc3339(now);
  Json& status = crd["status"];
  if (!status.is_object()) status = Json::object();
  const auto set = [&](const Json& wanted) {
    Json& conditions = status["conditions"];
    if (!conditions.is_array()) conditions = Json::array();
    for (Json& each : conditions)
      if (text_at(each, "type") == text_at(wanted, "type")) {
        if (text_at(each, "status") != text_at(wanted, "status")) each = wanted;
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
