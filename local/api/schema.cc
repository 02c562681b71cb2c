// local/api/schema.cc: compiles an openAPIV3Schema and refuses what a real server refuses
#include "local/api/schema.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <set>

namespace muster::local {
namespace {

constexpr int kDepthMax = 64;  // a CRD's schema is a tree of some ten levels; deeper ones are hostile

const std::set<std::string_view>& known_keywords() {
  static const std::set<std::string_view> kKnown = {"type",
                                                    "description",
                                                    "title",
                                                    "format",
                                                    "nullable",
                                                    "properties",
                                                    "required",
                                                    "additionalProperties",
                                                    "items",
                                                    "default",
                                                    "enum",
                                                    "minimum",
                                                    "maximum",
                                                    "exclusiveMinimum",
                                                    "exclusiveMaximum",
                                                    "multipleOf",
                                                    "minLength",
                                                    "maxLength",
                                                    "minItems",
                                                    "maxItems",
                                                    "minProperties",
                                                    "maxProperties",
                                                    "uniqueItems",
                                                    "pattern",
                                                    "allOf",
                                                    "anyOf",
                                                    "oneOf",
                                                    "not",
                                                    "example",
                                                    "externalDocs",
                                                    "x-kubernetes-preserve-unknown-fields",
                                                    "x-kubernetes-int-or-string",
                                                    "x-kubernetes-embedded-resource",
                                                    "x-kubernetes-list-type",
                                                    "x-kubernetes-list-map-keys",
                                                    "x-kubernetes-map-type",
                                                    "x-kubernetes-validations"};
  return kKnown;
}

class Compiler {
 public:
  explicit Compiler(FieldErrors& errors) : errors_(errors) {}

  // `structural`: inside allOf, anyOf, oneOf and not, values are described but no types.
  SchemaPtr compile(const Json& json, const std::string& path, bool structural, int depth) {
    auto schema = std::make_shared<Schema>();
    if (!json.is_object() || depth > kDepthMax) {
      errors_.push_back(
          FieldError::invalid(path, json.type_name(), "must be an object, nested 64 deep at most"));
      return schema;
    }
    for (const auto& [key, value] : json.items())
      if (!known_keywords().count(key))
        errors_.push_back(FieldError::forbidden(join_path(path, key), "is not supported"));
    read_type(json, *schema, path, structural);
    read_values(json, *schema, path);
    read_members(json, *schema, path, structural, depth);
    read_lists(json, *schema, path);
    read_rules(json, *schema, path);
    return schema;
  }

 private:
  static bool flag(const Json& json, const char* name) {
    const auto it = json.find(name);
    return it != json.end() && it->is_boolean() && it->get<bool>();
  }
  static std::string text(const Json& json, const char* name) {
    const auto it = json.find(name);
    return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
  }
  static std::optional<double> number(const Json& json, const char* name) {
    const auto it = json.find(name);
    return it != json.end() && it->is_number() ? std::optional(it->get<double>()) : std::nullopt;
  }
  static std::optional<std::int64_t> integer(const Json& json, const char* name) {
    const auto it = json.find(name);
    return it != json.end() && it->is_number() ? std::optional(it->get<std::int64_t>()) : std::nullopt;
  }

  void read_type(const Json& json, Schema& schema, const std::string& path, bool structural) {
    static const std::map<std::string, Schema::Type> kTypes = {
        {"object", Schema::Type::kObject}, {"array", Schema::Type::kArray},
        {"string", Schema::Type::kString}, {"integer", Schema::Type::kInteger},
        {"number", Schema::Type::kNumber}, {"boolean", Schema::Type::kBoolean}};
    schema.nullable = flag(json, "nullable");
    schema.preserve_unknown = flag(json, "x-kubernetes-preserve-unknown-fields");
    schema.int_or_string = flag(json, "x-kubernetes-int-or-string");
    schema.embedded_resource = flag(json, "x-kubernetes-embedded-resource");
    schema.description = text(json, "description");
    schema.format = text(json, "format");
    const std::string type = text(json, "type");
    if (const auto it = kTypes.find(type); it != kTypes.end()) {
      schema.type = it->second;
    } else if (!type.empty()) {
      errors_.push_back(FieldError::not_supported(
          join_path(path, "type"), type, {"array", "boolean", "integer", "number", "object", "string"}));
    } else if (structural && !schema.preserve_unknown && !schema.int_or_string) {
      errors_.push_back(
          FieldError::required(join_path(path, "type"), "must not be empty for specified object fields"));
    }
  }

  void read_values(const Json& json, Schema& schema, const std::string& path) {
    if (json.contains("default")) schema.default_value = json["default"];
    if (const auto it = json.find("enum"); it != json.end() && it->is_array())
      schema.enumeration.assign(it->begin(), it->end());
    schema.minimum = number(json, "minimum");
    schema.maximum = number(json, "maximum");
    schema.multiple_of = number(json, "multipleOf");
    schema.exclusive_minimum = flag(json, "exclusiveMinimum");
    schema.exclusive_maximum = flag(json, "exclusiveMaximum");
    schema.unique_items = flag(json, "uniqueItems");
    if (schema.unique_items)
      errors_.push_back(FieldError::forbidden(
          join_path(path, "uniqueItems"),
          "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"));
    schema.min_length = integer(json, "minLength");
    schema.max_length = integer(json, "maxLength");
    schema.min_items = integer(json, "minItems");
    schema.max_items = integer(json, "maxItems");
    schema.min_properties = integer(json, "minProperties");
    schema.max_properties = integer(json, "maxProperties");
    schema.pattern = text(json, "pattern");
    if (schema.pattern.empty()) return;
    RE2::Options options;
    options.set_log_errors(false);
    schema.regex = std::make_shared<const re2::RE2>(schema.pattern, options);
    if (!schema.regex->ok())
      errors_.push_back(
          FieldError::invalid(join_path(path, "pattern"), schema.pattern,
                              "must be a valid regular expression, but isn't: " + schema.regex->error()));
  }

  void read_members(const Json& json, Schema& schema, const std::string& path, bool structural, int depth) {
    if (const auto it = json.find("properties"); it != json.end() && it->is_object())
      for (const auto& [name, member] : it->items())
        schema.properties[name] = compile(member, path + ".properties[" + name + "]", structural, depth + 1);
    if (const auto it = json.find("required"); it != json.end() && it->is_array())
      for (const Json& name : *it)
        if (name.is_string()) schema.required.push_back(name.get<std::string>());
    if (const auto it = json.find("additionalProperties"); it != json.end()) {
      if (it->is_object())
        schema.additional = compile(*it, join_path(path, "additionalProperties"), structural, depth + 1);
      else if (it->is_boolean() && it->get<bool>())
        schema.preserve_unknown = true;
      if (!schema.properties.empty() && it->is_object())
        errors_.push_back(FieldError::forbidden(join_path(path, "additionalProperties"),
                                                "additionalProperties and properties are mutual exclusive"));
    }
    if (const auto it = json.find("items"); it != json.end())
      schema.items = compile(*it, join_path(path, "items"), structural, depth + 1);
    else if (structural && schema.type == Schema::Type::kArray)
      errors_.push_back(FieldError::required(join_path(path, "items"), "must be specified"));
    read_branches(json, "allOf", schema.all_of, path, depth);
    read_branches(json, "anyOf", schema.any_of, path, depth);
    read_branches(json, "oneOf", schema.one_of, path, depth);
    if (const auto it = json.find("not"); it != json.end())
      schema.negated = compile(*it, join_path(path, "not"), false, depth + 1);
  }

  void read_branches(const Json& json, const char* name, std::vector<SchemaPtr>& out, const std::string& path,
                     int depth) {
    const auto it = json.find(name);
    if (it == json.end() || !it->is_array()) return;
    for (std::size_t i = 0; i < it->size(); ++i)
      out.push_back(compile((*it)[i], fmt::format("{}.{}[{}]", path, name, i), false, depth + 1));
  }

  void read_lists(const Json& json, Schema& schema, const std::string& path) {
    schema.list_type = text(json, "x-kubernetes-list-type");
    schema.map_type = text(json, "x-kubernetes-map-type");
    if (const auto it = json.find("x-kubernetes-list-map-keys"); it != json.end() && it->is_array())
      for (const Json& key : *it)
        if (key.is_string()) schema.list_map_keys.push_back(key.get<std::string>());
    if (schema.list_type == "map") {
      if (schema.list_map_keys.empty())
        errors_.push_back(FieldError::required(join_path(path, "x-kubernetes-list-map-keys"),
                                               "must not be empty if x-kubernetes-list-type is map"));
      for (const std::string& key : schema.list_map_keys)
        if (schema.items && !schema.items->properties.count(key))
          errors_.push_back(FieldError::invalid(join_path(path, "x-kubernetes-list-map-keys"), key,
                                                "entries must all be names of item properties"));
    } else if (!schema.list_type.empty() && schema.list_type != "atomic" && schema.list_type != "set") {
      errors_.push_back(FieldError::not_supported(join_path(path, "x-kubernetes-list-type"), schema.list_type,
                                                  {"atomic", "map", "set"}));
    }
  }

  void read_rules(const Json& json, Schema& schema, const std::string& path) {
    const auto it = json.find("x-kubernetes-validations");
    if (it == json.end() || !it->is_array()) return;
    for (std::size_t i = 0; i < it->size(); ++i) {
      const Json& from = (*it)[i];
      if (!from.is_object()) continue;
      ValidationRule rule;
      rule.rule = text(from, "rule");
      rule.message = text(from, "message");
      rule.message_expression = text(from, "messageExpression");
      rule.reason = text(from, "reason");
      rule.field_path = text(from, "fieldPath");
      rule.optional_old_self = flag(from, "optionalOldSelf");
      compile_rule(rule, fmt::format("{}.x-kubernetes-validations[{}]", path, i), errors_);
      schema.rules.push_back(std::move(rule));
    }
  }

  FieldErrors& errors_;
};

}  // namespace

std::string join_path(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : path + "." + std::string(name);
}

std::string_view type_text(Schema::Type type) {
  switch (type) {
    case Schema::Type::kObject: return "object";
    case Schema::Type::kArray: return "array";
    case Schema::Type::kString: return "string";
    case Schema::Type::kInteger: return "integer";
    case Schema::Type::kNumber: return "number";
    case Schema::Type::kBoolean: return "boolean";
    case Schema::Type::kAny: break;
  }
  return "";
}

const Schema* Schema::property(std::string_view name) const {
  const auto it = properties.find(name);
  if (it != properties.end()) return it->second.get();
  return additional.get();
}

SchemaPtr compile_schema(const Json& schema, const std::string& path, FieldErrors& errors) {
  return Compiler(errors).compile(schema, path, true, 0);
}

}  // namespace muster::local
