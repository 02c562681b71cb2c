// local/api/schema.cc: compiles an openAPIV3Schema and refuses what a real server refuses
#include "local/api/schema.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "common/json/access.h"

namespace muster::local {
namespace {

constexpr int kDepthMax = 64;  // a CRD's schema is a tree of some ten levels; deeper ones are hostile

class Compiler {
 public:
  explicit Compiler(FieldErrors& errors) : errors_(errors) {}

  // `no_past`: see RulePlace.
  SchemaPtr compile(const Json& json, const std::string& path, const std::string& no_past, int depth) {
    auto schema = std::make_shared<Schema>();
    if (!json.is_object() || depth > kDepthMax) {
      errors_.push_back(
          FieldError::invalid(path, json.type_name(), "must be an object, nested 64 deep at most"));
      return schema;
    }
    read_type(json, *schema);
    read_values(json, *schema);
    read_lists(json, *schema);
    read_members(json, *schema, path, no_past, depth);
    read_rules(json, *schema, path, no_past, depth == 0);
    return schema;
  }

 private:
  static std::optional<double> number(const Json& json, const char* name) {
    const auto it = json.find(name);
    return it != json.end() && it->is_number() ? std::optional(it->get<double>()) : std::nullopt;
  }
  static std::optional<std::int64_t> integer(const Json& json, const char* name) {
    const auto it = json.find(name);
    if (it == json.end() || !it->is_number()) return std::nullopt;
    if (!it->is_number_float()) return it->get<std::int64_t>();
    const double value = it->get<double>();  // beyond an integer's range it has no value as one
    return static_cast<std::int64_t>(std::clamp(value, -9e18, 9e18));
  }

  static void read_type(const Json& json, Schema& schema) {
    static const std::map<std::string, Schema::Type> kTypes = {
        {"object", Schema::Type::kObject}, {"array", Schema::Type::kArray},
        {"string", Schema::Type::kString}, {"integer", Schema::Type::kInteger},
        {"number", Schema::Type::kNumber}, {"boolean", Schema::Type::kBoolean}};
    schema.nullable = boolean(member(json, "nullable"));
    schema.preserve_unknown = boolean(member(json, "x-kubernetes-preserve-unknown-fields"));
    schema.int_or_string = boolean(member(json, "x-kubernetes-int-or-string"));
    schema.embedded_resource = boolean(member(json, "x-kubernetes-embedded-resource"));
    schema.description = text_at(json, "description");
    schema.format = text_at(json, "format");
    const std::string type = text_at(json, "type");
    if (const auto it = kTypes.find(type); it != kTypes.end()) schema.type = it->second;
  }

  static void read_values(const Json& json, Schema& schema) {
    if (json.contains("default")) schema.default_value = json["default"];
    if (const auto it = json.find("enum"); it != json.end() && it->is_array())
      schema.enumeration.assign(it->begin(), it->end());
    schema.minimum = number(json, "minimum");
    schema.maximum = number(json, "maximum");
    schema.multiple_of = number(json, "multipleOf");
    schema.exclusive_minimum = boolean(member(json, "exclusiveMinimum"));
    schema.exclusive_maximum = boolean(member(json, "exclusiveMaximum"));
    schema.unique_items = boolean(member(json, "uniqueItems"));
    schema.min_length = integer(json, "minLength");
    schema.max_length = integer(json, "maxLength");
    schema.min_items = integer(json, "minItems");
    schema.max_items = integer(json, "maxItems");
    schema.min_properties = integer(json, "minProperties");
    schema.max_properties = integer(json, "maxProperties");
    schema.pattern = text_at(json, "pattern");
    if (schema.pattern.empty()) return;
    RE2::Options options;
    options.set_log_errors(false);
    schema.regex = std::make_shared<const re2::RE2>(schema.pattern, options);
  }

  void read_members(const Json& json, Schema& schema, const std::string& path, const std::string& no_past,
                    int depth) {
    const std::string members_past = schema.map_type == "atomic" && no_past.empty() ? path : no_past;
    if (const auto it = json.find("properties"); it != json.end() && it->is_object())
      for (const auto& [name, member] : it->items())
        schema.properties[name] =
            compile(member, fmt::format("{}.properties[{}]", path, name), members_past, depth + 1);
    if (const auto it = json.find("required"); it != json.end() && it->is_array())
      for (const Json& name : *it)
        if (name.is_string()) schema.required.push_back(name.get<std::string>());
    if (const auto it = json.find("additionalProperties"); it != json.end()) {
      if (it->is_object())
        schema.additional = compile(*it, join_path(path, "additionalProperties"), no_past, depth + 1);
      else if (it->is_boolean() && it->get<bool>())
        schema.preserve_unknown = true;
    }
    const std::string items_past = schema.list_type != "map" && no_past.empty() ? path : no_past;
    if (const auto it = json.find("items"); it != json.end())
      schema.items = compile(*it, join_path(path, "items"), items_past, depth + 1);
    read_branches(json, "allOf", schema.all_of, path, depth);
    read_branches(json, "anyOf", schema.any_of, path, depth);
    read_branches(json, "oneOf", schema.one_of, path, depth);
    if (const auto it = json.find("not"); it != json.end())
      schema.negated = compile(*it, join_path(path, "not"), no_past, depth + 1);
  }

  void read_branches(const Json& json, const char* name, std::vector<SchemaPtr>& out, const std::string& path,
                     int depth) {
    const auto it = json.find(name);
    if (it == json.end() || !it->is_array()) return;
    for (std::size_t i = 0; i < it->size(); ++i)
      out.push_back(compile((*it)[i], fmt::format("{}.{}[{}]", path, name, i), "", depth + 1));
  }

  static void read_lists(const Json& json, Schema& schema) {
    schema.list_type = text_at(json, "x-kubernetes-list-type");
    schema.map_type = text_at(json, "x-kubernetes-map-type");
    if (const auto it = json.find("x-kubernetes-list-map-keys"); it != json.end() && it->is_array())
      for (const Json& key : *it)
        if (key.is_string()) schema.list_map_keys.push_back(key.get<std::string>());
  }

  void read_rules(const Json& json, Schema& schema, const std::string& path, const std::string& no_past,
                  bool root) {
    const auto it = json.find("x-kubernetes-validations");
    if (it == json.end() || !it->is_array()) return;
    for (std::size_t i = 0; i < it->size(); ++i) {
      const Json& from = (*it)[i];
      if (!from.is_object()) continue;
      ValidationRule rule;
      rule.rule = text_at(from, "rule");
      rule.message = text_at(from, "message");
      rule.message_expression = text_at(from, "messageExpression");
      rule.reason = text_at(from, "reason");
      rule.field_path = field_path_of(text_at(from, "fieldPath"), json).value_or("");
      RulePlace place{&schema, root || schema.embedded_resource, "", no_past,
                      from.contains("optionalOldSelf")};
      place.path = fmt::format("{}.x-kubernetes-validations[{}]", path, i);
      compile_rule(rule, place, errors_);
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
  return Compiler(errors).compile(schema, path, "", 0);
}

}  // namespace muster::local
