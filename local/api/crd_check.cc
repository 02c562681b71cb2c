// local/api/crd_check.cc: what a real server refuses in a CustomResourceDefinition
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "local/api/crd.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

constexpr std::size_t kPathBytesMax = 512;  // of a path to write to, which makes a level for each name

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void check_label(const std::string& path, const std::string& value, bool mixed_case, FieldErrors& errors) {
  const auto wrong = check_dns1035_label(mixed_case ? lower(value) : value);
  if (wrong.empty()) return;
  errors.push_back(FieldError::invalid(
      path, value,
      fmt::format("{}{}", mixed_case ? "may have mixed case, but should otherwise match: " : "",
                  fmt::join(wrong, ","))));
}

void check_names(const Json& names, FieldErrors& errors) {
  const std::string path = "spec.names.";
  for (const char* field : {"plural", "singular", "kind", "listKind"})
    if (text_at(names, field).empty()) errors.push_back(FieldError::required(path + field));
  for (const char* field : {"plural", "singular", "kind", "listKind"})
    if (const std::string value = text_at(names, field); !value.empty())
      check_label(path + field, value, std::string_view(field).find("ind") != std::string_view::npos, errors);
  for (const char* list : {"shortNames", "categories"})
    for (std::size_t i = 0; i < array_of(names, list).size(); ++i)
      if (names[list][i].is_string())
        check_label(fmt::format("{}{}[{}]", path, list, i), names[list][i].get<std::string>(), false, errors);
  if (text_at(names, "kind") == text_at(names, "listKind") && !text_at(names, "kind").empty())
    errors.push_back(FieldError::invalid(path + "listKind", text_at(names, "listKind"),
                                         "kind and listKind may not be the same"));
}

void check_group(const Json& crd, FieldErrors& errors) {
  const Json& spec = object_of(crd, "spec");
  const std::string group = text_at(spec, "group");
  const std::string name = meta_text(crd, "name");
  if (name != text_at(object_of(spec, "names"), "plural") + "." + group)
    errors.push_back(
        FieldError::invalid("metadata.name", name, "must be spec.names.plural+\".\"+spec.group"));
  if (group.empty())
    errors.push_back(FieldError::required("spec.group"));
  else if (const auto wrong = check_dns_subdomain(group); !wrong.empty())
    errors.push_back(FieldError::invalid("spec.group", group, fmt::format("{}", fmt::join(wrong, ","))));
  else if (group.find('.') == std::string::npos)
    errors.push_back(FieldError::invalid("spec.group", group, "should be a domain with at least one dot"));
  const auto ends = [&](std::string_view end) {
    return group == end ||
           (group.size() > end.size() &&
            group.compare(group.size() - end.size() - 1, std::string::npos, "." + std::string(end)) == 0);
  };
  constexpr const char* kApproved = "api-approved.kubernetes.io";
  if ((ends("k8s.io") || ends("kubernetes.io")) &&
      text_at(object_of(object_of(crd, "metadata"), "annotations"), kApproved).empty())
    errors.push_back(FieldError::required(fmt::format("metadata.annotations[{}]", kApproved),
                                          "protected groups must have approval annotation "
                                          "\"api-approved.kubernetes.io\", see "
                                          "https://github.com/kubernetes/enhancements/pull/1111"));
  const std::string scope = text_at(spec, "scope");
  if (scope.empty())
    errors.push_back(FieldError::required("spec.scope"));
  else if (scope != "Namespaced" && scope != "Cluster")
    errors.push_back(FieldError::not_supported("spec.scope", scope, {"Cluster", "Namespaced"}));
  if (spec.value("preserveUnknownFields", Json(false)) == Json(true))
    errors.push_back(
        FieldError::invalid("spec.preserveUnknownFields", true,
                            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                            "spec.versions[*].schema instead"));
}

// A default must itself be valid, and known to its schema.
void check_defaults(const Schema& schema, const std::string& path, FieldErrors& errors) {
  if (schema.default_value) {
    FieldErrors wrong;
    std::vector<std::string> unknown, warnings;
    Json pruned = *schema.default_value;
    prune(pruned, schema, unknown);
    if (!unknown.empty())
      errors.push_back(
          FieldError::invalid(path + ".default", *schema.default_value, "must not have unknown fields"));
    validate_schema(*schema.default_value, schema, "", wrong);
    if (wrong.empty()) validate_rules(*schema.default_value, nullptr, schema, wrong, warnings);
    for (FieldError& error : wrong) {
      if (error.field == "<nil>") error.field.clear();
      error.field =
          path + ".default" + (error.field.empty() || error.field.front() == '[' ? "" : ".") + error.field;
      errors.push_back(std::move(error));
    }
  }
  for (const auto& [name, member] : schema.properties)
    check_defaults(*member, fmt::format("{}.properties[{}]", path, name), errors);
  if (schema.items) check_defaults(*schema.items, path + ".items", errors);
  if (schema.additional) check_defaults(*schema.additional, path + ".additionalProperties", errors);
}

// With a status of its own, a schema may say at its root only what its properties can be taken out of.
void check_root(const Json& schema, bool has_status, const std::string& path, FieldErrors& errors) {
  if (schema.value("nullable", Json(false)) == Json(true))
    errors.push_back(FieldError::forbidden(path + ".nullable", "nullable cannot be true at the root"));
  if (!has_status) return;
  if (text_at(schema, "type") != "object")
    errors.push_back(
        FieldError::invalid(path + ".type", text_at(schema, "type"),
                            "only \"object\" is allowed as the type at the root of the schema if the "
                            "status subresource is enabled"));
  for (const char* name :
       {"additionalProperties", "allOf", "anyOf", "default", "enum", "maxProperties", "minProperties", "not",
        "oneOf", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type", "x-kubernetes-map-type"})
    if (schema.contains(name)) {
      errors.push_back(FieldError{
          "FieldValueInvalid", path,
          "Invalid value: apiextensions.JSONSchemaProps{}: only [Description Type Format Title Maximum "
          "ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems "
          "UniqueItems "
          "MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations] "
          "fields are "
          "allowed at the root of the schema if the status subresource is enabled"});
      return;
    }
}

void check_schema(const Json& schema, bool has_status, const std::string& path, FieldErrors& errors) {
  check_root(schema, has_status, path, errors);
  FieldErrors structure, defaults, keywords, rules;
  check_schema_structure(schema, path, structure);
  check_schema_keywords(schema, path, keywords);
  const bool shaped = structure.empty() && keywords.empty();
  if (shaped) {
    const SchemaPtr compiled = compile_schema(schema, path, rules);
    check_defaults(*compiled, path, defaults);
    if (!defaults.empty()) rules.clear();
  }
  for (const FieldErrors* part : {&structure, &defaults, &keywords, &rules})
    errors.insert(errors.end(), part->begin(), part->end());
}

void check_json_path(const std::string& text, const std::string& path, const char* under,
                     FieldErrors& errors) {
  if (text.empty())
    errors.push_back(FieldError::required(path));
  else if (text[0] != '.')
    errors.push_back(FieldError::invalid(path, text, "must be a simple json path starting with ."));
  else if (under != nullptr && text.rfind(std::string(under) + ".", 0) != 0)
    errors.push_back(FieldError::invalid(path, text, fmt::format("should be a json path under {}", under)));
  else if (under != nullptr && text.size() > kPathBytesMax)
    errors.push_back(FieldError::too_long(path, kPathBytesMax));
}

void check_subresources(const Json& subresources, const std::string& path, FieldErrors& errors) {
  if (!subresources.is_object() || !subresources.contains("scale")) return;
  const Json& scale = object_of(subresources, "scale");
  check_json_path(text_at(scale, "specReplicasPath"), path + ".scale.specReplicasPath", ".spec", errors);
  check_json_path(text_at(scale, "statusReplicasPath"), path + ".scale.statusReplicasPath", ".status",
                  errors);
  const std::string selector = text_at(scale, "labelSelectorPath");
  if (!selector.empty() && selector.rfind(".spec.", 0) != 0 && selector.rfind(".status.", 0) != 0)
    errors.push_back(FieldError::invalid(path + ".scale.labelSelectorPath", selector,
                                         selector[0] == '.'
                                             ? "should be a json path under either .spec or .status"
                                             : "must be a simple json path starting with ."));
}

void check_columns(const Json& columns, const std::string& path, FieldErrors& errors) {
  static const std::set<std::string> kTypes = {"boolean", "date", "integer", "number", "string"};
  static const std::set<std::string> kFormats = {"byte",  "date",  "date-time", "double",
                                                 "float", "int32", "int64",     "password"};
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::string at = fmt::format("{}[{}]", path, i);
    const std::string type = text_at(columns[i], "type"), format = text_at(columns[i], "format");
    if (text_at(columns[i], "name").empty()) errors.push_back(FieldError::required(at + ".name"));
    const std::string types = fmt::format("must be one of {}", fmt::join(kTypes, ","));
    if (type.empty())
      errors.push_back(FieldError::required(at + ".type", types));
    else if (!kTypes.count(type))
      errors.push_back(FieldError::invalid(at + ".type", type, types));
    if (!format.empty() && !kFormats.count(format))
      errors.push_back(FieldError::invalid(at + ".format", format,
                                           fmt::format("must be one of {}", fmt::join(kFormats, ","))));
    check_json_path(text_at(columns[i], "jsonPath"), at + ".JSONPath", nullptr, errors);
  }
}

void check_selectable(const Json& fields, const Json& schema, const std::string& path, FieldErrors& errors) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::string at = fmt::format("{}[{}].jsonPath", path, i);
    const std::string text = text_at(fields[i], "jsonPath");
    if (text.empty()) {
      errors.push_back(FieldError::required(at));
      continue;
    }
    if (text.find('[') != std::string::npos || !field_path_of(text, schema)) {
      const char* why = text.find('[') != std::string::npos ? "array notation is not allowed"
                        : text[0] != '.'                    ? "expected [ or . but got: "
                                                            : "does not refer to a valid field";
      errors.push_back(
          FieldError::invalid(at, text,
                              fmt::format("is an invalid path: {}{}", why,
                                          text[0] == '.' ? "" : text.substr(0, text.find('.')))));
      continue;
    }
    if (text.rfind(".metadata", 0) == 0)
      errors.push_back(FieldError::invalid(at, text, "must not point to fields in metadata"));
    const Json* node = &schema;
    for (std::size_t from = 1; from <= text.size();) {
      const auto end = std::min(text.find('.', from), text.size());
      const Json& properties = object_of(*node, "properties");
      const auto it = properties.find(text.substr(from, end - from));
      node = it != properties.end() ? &*it : &object_of(*node, "additionalProperties");
      from = end + 1;
    }
    const std::string type = text_at(*node, "type");
    if (type != "string" && type != "boolean" && type != "integer")
      errors.push_back(FieldError::invalid(at, text,
                                           "must point to a field of type string, boolean or integer. Enum "
                                           "string fields and strings with formats are "
                                           "allowed."));
    if (!seen.insert(text).second) errors.push_back(FieldError::duplicate(at, text));
  }
  if (seen.size() > 8) errors.push_back(FieldError::too_many(path, seen.size(), 8));
}

// What all versions share is shown as if it were written once for the whole definition.
class VersionCheck {
 public:
  VersionCheck(const Json& versions, FieldErrors& errors) : versions_(versions), errors_(errors) {}

  void run() {
    int storage = 0;
    bool unique = true;
    std::set<std::string> seen;
    for (std::size_t i = 0; i < versions_.size(); ++i) {
      if (versions_[i].value("storage", Json(false)) == Json(true)) ++storage;
      unique = seen.insert(text_at(versions_[i], "name")).second && unique;
      version(i);
    }
    const auto refuse = [&](const char* why) {
      errors_.push_back(
          {"FieldValueInvalid", "spec.versions",
           fmt::format("Invalid value: []apiextensions.CustomResourceDefinitionVersion{{}}: {}", why)});
    };
    if (!unique) refuse("must contain unique version names");
    if (storage != 1) refuse("must have exactly one version marked as storage version");
  }

 private:
  // The path of a member of version i; "" if it was shown before.
  std::string path_of(std::size_t i, const char* member, const char* shared_path) const {
    const Json& own = versions_[i].value(member, Json());
    const bool shared = std::all_of(versions_.begin(), versions_.end(), [&](const Json& other) {
      return !own.is_null() && other.value(member, Json()) == own;
    });
    if (!shared) return fmt::format("spec.versions[{}].{}", i, member);
    return i == 0 ? std::string("spec.") + shared_path : "";
  }

  void version(std::size_t i) {
    const Json& version = versions_[i];
    const std::string path = fmt::format("spec.versions[{}]", i);
    check_label(path + ".name", text_at(version, "name"), false, errors_);
    const Json& holder = object_of(version, "schema");
    const Json& schema = object_of(holder, "openAPIV3Schema");
    const Json subresources = version.value("subresources", Json());
    if (!holder.contains("openAPIV3Schema"))
      errors_.push_back(FieldError::required(path + ".schema.openAPIV3Schema", "schemas are required"));
    else if (const std::string at = path_of(i, "schema", "validation"); !at.empty())
      check_schema(schema, object_of(version, "subresources").contains("status"), at + ".openAPIV3Schema",
                   errors_);
    if (const std::string at = path_of(i, "subresources", "subresources"); !at.empty())
      check_subresources(subresources, at, errors_);
    if (const std::string at = path_of(i, "additionalPrinterColumns", "additionalPrinterColumns");
        !at.empty())
      check_columns(array_of(version, "additionalPrinterColumns"), at, errors_);
    if (const std::string at = path_of(i, "selectableFields", "selectableFields"); !at.empty())
      check_selectable(array_of(version, "selectableFields"), schema, at, errors_);
    if (version.contains("deprecationWarning") && version.value("deprecated", Json(false)) != Json(true))
      errors_.push_back(FieldError::invalid(path + ".deprecationWarning", version["deprecationWarning"],
                                            "can only be set for deprecated versions"));
  }

  const Json& versions_;
  FieldErrors& errors_;
};

void check_stored_versions(const Json& crd, FieldErrors& errors) {
  const Json& versions = array_of(object_of(crd, "spec"), "versions");
  const Json& stored = array_of(object_of(crd, "status"), "storedVersions");
  std::set<std::string> names;
  bool any_storage = false;
  for (const Json& version : versions) {
    names.insert(text_at(version, "name"));
    any_storage = any_storage || version.value("storage", Json(false)) == Json(true);
  }
  if (stored.empty() && !any_storage)
    errors.push_back({"FieldValueInvalid", "status.storedVersions",
                      "Invalid value: []string(nil): must have at least one stored version"});
  for (std::size_t i = 0; i < stored.size(); ++i)
    if (stored[i].is_string() && !names.count(stored[i].get<std::string>())) {
      const auto name = stored[i].get<std::string>();
      errors.push_back(FieldError::invalid(
          fmt::format("status.storedVersions[{}]", i), name,
          fmt::format("missing from spec.versions; {} was previously a storage version, and must remain in "
                      "spec.versions until a storage migration ensures no data remains persisted in {} and "
                      "removes {} "
                      "from status.storedVersions",
                      name, name, name)));
    }
}

}  // namespace

FieldErrors validate_crd(const Json& crd, const Json* old) {
  FieldErrors errors;
  const Json& spec = object_of(crd, "spec");
  const Json& versions = array_of(spec, "versions");
  for (std::size_t i = 0; i < versions.size(); ++i)
    if (!versions[i].is_object())
      errors.push_back(
          FieldError::invalid(fmt::format("spec.versions[{}]", i), versions[i], "must be an object"));
  if (!errors.empty()) return errors;  // what follows reads them as objects
  check_group(crd, errors);
  VersionCheck(versions, errors).run();
  check_names(object_of(spec, "names"), errors);
  if (object_of(spec, "conversion").value("strategy", Json("None")) != Json("None"))
    errors.push_back(
        FieldError::not_supported("spec.conversion.strategy", spec["conversion"]["strategy"], {"None"}));
  if (old != nullptr) {
    const auto fixed = [&](const char* pointer, const char* path) {
      const Json::json_pointer at(pointer);
      const Json before = old->contains(at) ? (*old)[at] : Json();
      const Json now = crd.contains(at) ? crd[at] : Json();
      if (before != now) errors.push_back(FieldError::invalid(path, now, "field is immutable"));
    };
    bool established = false;
    for (const Json& each : array_of(object_of(*old, "status"), "conditions"))
      established =
          established || (text_at(each, "type") == "Established" && text_at(each, "status") == "True");
    if (established) {
      fixed("/spec/scope", "spec.scope");
      fixed("/spec/names/kind", "spec.names.kind");
    }
    fixed("/spec/group", "spec.group");
    fixed("/spec/names/plural", "spec.names.plural");
  }
  check_stored_versions(crd, errors);
  return errors;
}

}  // namespace muster::local
