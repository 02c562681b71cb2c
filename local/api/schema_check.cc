// local/api/schema_check.cc: what a real server refuses in the keywords of a definition's schema
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "local/api/schema_raw.h"

namespace muster::local {
namespace {

using raw::flag;
using raw::kBranches;
using raw::property_path;

// What OpenAPI allows and definitions do not; lists, maps and rules in themselves.
class KeywordCheck {
 public:
  explicit KeywordCheck(FieldErrors& errors) : errors_(errors) {}

  void node(const Json& json, const std::string& path, const std::string& no_defaults, bool root) {
    if (!json.is_object()) return;
    keywords(json, path, no_defaults);
    map_type(json, path);
    list_type(json, path);
    rules(json, path);
    const Json& values = member(json, "additionalProperties");
    if (values.is_object()) node(values, path + ".additionalProperties", no_defaults, false);
    for (const auto& [name, property] : object_of(json, "properties").items()) {
      const bool meta = root && (name == "metadata" || name == "kind" || name == "apiVersion");
      node(property, property_path(path, name), meta ? " in top-level " + name : no_defaults, false);
    }
    if (json.contains("not")) node(json["not"], path + ".not", no_defaults, false);
    for (const char* branch : kBranches)
      for (std::size_t i = 0; i < array_of(json, branch).size(); ++i)
        node(json[branch][i], fmt::format("{}.{}[{}]", path, branch, i), no_defaults, false);
    if (member(json, "items").is_object()) node(json["items"], path + ".items", no_defaults, false);
  }

 private:
  void keywords(const Json& json, const std::string& path, const std::string& no_defaults) {
    static const std::set<std::string> kTypes = {"array", "boolean", "integer", "number", "object", "string"};
    const std::string type = text_at(json, "type");
    if (!type.empty() && !kTypes.count(type))
      errors_.push_back(FieldError::not_supported(path + ".type", type, {kTypes.begin(), kTypes.end()}));
    if (type == "null")
      errors_.push_back(FieldError::forbidden(path + ".type",
                                              "type cannot be set to null, use nullable as an alternative"));
    if (json.contains("default") && !no_defaults.empty())
      errors_.push_back(FieldError::forbidden(path + ".default", "must not be set" + no_defaults));
    for (const char* name :
         {"id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"})
      if (json.contains(name) && !json[name].is_null())
        errors_.push_back(
            FieldError::forbidden(join_path(path, name), std::string(name) + " is not supported"));
    if (member(json, "items").is_array())
      errors_.push_back(
          FieldError::forbidden(path + ".items", "items must be a schema object and not an array"));
    if (flag(json, "uniqueItems"))
      errors_.push_back(FieldError::forbidden(
          path + ".uniqueItems",
          "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"));
    const Json& values = member(json, "additionalProperties");
    if (!object_of(json, "properties").empty() && (values.is_object() || values == false))
      errors_.push_back(FieldError::forbidden(path + ".additionalProperties",
                                              "additionalProperties and properties are mutual exclusive"));
    if (member(json, "x-kubernetes-preserve-unknown-fields") == false)
      errors_.push_back(FieldError::invalid(path + ".x-kubernetes-preserve-unknown-fields", false,
                                            "must be true or undefined"));
  }

  void wanted_type(const Json& json, const std::string& path, const char* type, const std::string& why) {
    const std::string own = text_at(json, "type");
    if (own == type) return;
    errors_.push_back(own.empty() ? FieldError::required(path + ".type", why)
                                  : FieldError::invalid(path + ".type", own, why));
  }

  void map_type(const Json& json, const std::string& path) {
    if (!json.contains("x-kubernetes-map-type")) return;
    const std::string type = text_at(json, "x-kubernetes-map-type");
    wanted_type(json, path, "object", "must be object if x-kubernetes-map-type is specified");
    if (type != "atomic" && type != "granular")
      errors_.push_back(
          FieldError::not_supported(path + ".x-kubernetes-map-type", type, {"atomic", "granular"}));
  }

  void list_type(const Json& json, const std::string& path) {
    const bool given = json.contains("x-kubernetes-list-type");
    const std::string type = text_at(json, "x-kubernetes-list-type");
    const Json& keys = array_of(json, "x-kubernetes-list-map-keys");
    const Json& items = object_of(json, "items");
    if (given) wanted_type(json, path, "array", "must be array if x-kubernetes-list-type is specified");
    if (type == "set" && text_at(json, "type") == "array") set_items(items, path);
    if (given && type != "atomic" && type != "set" && type != "map")
      errors_.push_back(
          FieldError::not_supported(path + ".x-kubernetes-list-type", type, {"atomic", "set", "map"}));
    constexpr const char* kMustBeMap = "must be map if x-kubernetes-list-map-keys is non-empty";
    if (!keys.empty() && type != "map")
      errors_.push_back(given ? FieldError::invalid(path + ".x-kubernetes-list-type", type, kMustBeMap)
                              : FieldError::required(path + ".x-kubernetes-list-type", kMustBeMap));
    if (type == "map") map_items(json, keys, items, path);
    if ((type == "set" || type == "map") && flag(items, "nullable"))
      errors_.push_back(FieldError::forbidden(path + ".items.nullable",
                                              "cannot be nullable when x-kubernetes-list-type is " + type));
  }

  void set_items(const Json& items, const std::string& path) {
    constexpr const char* kWhy = "must be atomic as item of a list with x-kubernetes-list-type=set";
    const std::string type = text_at(items, "type");
    const std::string list = text_at(items, "x-kubernetes-list-type");
    if (type == "array" && !list.empty() && list != "atomic")
      errors_.push_back(FieldError::invalid(path + ".items.x-kubernetes-list-type", list, kWhy));
    if (type == "object" && text_at(items, "x-kubernetes-map-type") != "atomic")
      errors_.push_back(FieldError{"FieldValueInvalid", path + ".items.x-kubernetes-map-type",
                                   fmt::format("Invalid value: null: {}", kWhy)});
  }

  void map_items(const Json& json, const Json& keys, const Json& items, const std::string& path) {
    const std::string keys_path = path + ".x-kubernetes-list-map-keys";
    if (keys.empty())
      errors_.push_back(
          FieldError::required(keys_path, "must not be empty if x-kubernetes-list-type is map"));
    if (!json.contains("items"))
      errors_.push_back(
          FieldError::required(path + ".items", "must have a schema if x-kubernetes-list-type is map"));
    else if (text_at(items, "type") != "object")
      errors_.push_back(
          FieldError::invalid(path + ".items.type", text_at(items, "type"),
                              "must be object if parent array's x-kubernetes-list-type is map"));
    else
      map_keys(keys, items, path, keys_path);
  }

  static FieldError wrong_keys(const std::string& path, const Json& keys, const char* why) {
    std::string shown;
    for (const Json& key : keys) shown += (shown.empty() ? "" : ", ") + go_value(key);
    return {"FieldValueInvalid", path, fmt::format("Invalid value: []string{{{}}}: {}", shown, why)};
  }

  void map_keys(const Json& keys, const Json& items, const std::string& path, const std::string& keys_path) {
    const Json& properties = object_of(items, "properties");
    const Json& required = array_of(items, "required");
    std::set<Json> seen;
    for (const Json& key : keys) {
      if (!key.is_string()) continue;
      const std::string at = property_path(path + ".items", key.get<std::string>());
      if (!seen.insert(key).second)
        errors_.push_back(wrong_keys(keys_path, keys, "must not contain duplicate entries"));
      const auto it = properties.find(key.get<std::string>());
      if (it == properties.end()) {
        errors_.push_back(wrong_keys(keys_path, keys, "entries must all be names of item properties"));
        continue;
      }
      const std::string type = text_at(*it, "type");
      if (type == "array" || type == "object")
        errors_.push_back(
            FieldError::invalid(at + ".type", text_at(items, "type"),
                                "must be a scalar type if parent array's x-kubernetes-list-type is map"));
      if (std::find(required.begin(), required.end(), key) == required.end() && !it->contains("default"))
        errors_.push_back(
            FieldError::required(at + ".default",
                                 "this property is in x-kubernetes-list-map-keys, so it must have a "
                                 "default or be a required property"));
      if (flag(*it, "nullable"))
        errors_.push_back(FieldError::forbidden(
            at + ".nullable", "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"));
    }
  }

  static std::string trimmed(const std::string& text) {
    const auto start = text.find_first_not_of(" \t\r\n");
    return start == std::string::npos ? "" : text.substr(start, text.find_last_not_of(" \t\r\n") - start + 1);
  }
  static bool has_lines(const std::string& text) { return text.find_first_of("\r\n") != std::string::npos; }

  void rules(const Json& json, const std::string& path) {
    const Json& list = array_of(json, "x-kubernetes-validations");
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string at = fmt::format("{}.x-kubernetes-validations[{}]", path, i);
      const std::string rule = text_at(list[i], "rule"), message = text_at(list[i], "message");
      const std::string expression = text_at(list[i], "messageExpression");
      const std::string field = text_at(list[i], "fieldPath"), reason = text_at(list[i], "reason");
      if (trimmed(rule).empty())
        errors_.push_back(FieldError::required(at + ".rule", "rule is not specified"));
      else if (!message.empty() && trimmed(message).empty())
        errors_.push_back(FieldError::invalid(at + ".message", message, "must be non-empty if specified"));
      else if (has_lines(trimmed(message)))
        errors_.push_back(FieldError::invalid(at + ".message", message, "must not contain line breaks"));
      else if (has_lines(trimmed(rule)) && trimmed(message).empty())
        errors_.push_back(
            FieldError::required(at + ".message", "message must be specified if rule contains line breaks"));
      if (!expression.empty() && trimmed(expression).empty())
        errors_.push_back(FieldError::required(at + ".messageExpression",
                                               "messageExpression must be non-empty if specified"));
      static const std::set<std::string> kReasons = {"FieldValueDuplicate", "FieldValueForbidden",
                                                     "FieldValueInvalid", "FieldValueRequired"};
      if (!reason.empty() && !kReasons.count(reason))
        errors_.push_back(
            FieldError::not_supported(at + ".reason", reason, {kReasons.begin(), kReasons.end()}));
      if (!field.empty() && !field_path_of(field, json))
        errors_.push_back(FieldError::invalid(at + ".fieldPath", field, "must be a valid path"));
    }
  }

  FieldErrors& errors_;
};

}  // namespace

std::optional<std::string> field_path_of(const std::string& text, const Json& schema) {
  std::string normal;
  const Json* at = &schema;
  for (std::size_t i = 0; i < text.size();) {
    std::string name;
    if (text[i] == '.') {
      const auto end = std::min(text.find_first_of(".[", i + 1), text.size());
      name = text.substr(i + 1, end - i - 1);
      i = end;
    } else if (text.compare(i, 2, "['") == 0) {
      const auto end = text.find("']", i + 2);
      if (end == std::string::npos) return std::nullopt;
      name = text.substr(i + 2, end - i - 2);
      i = end + 2;
    } else {
      return std::nullopt;
    }
    const Json& properties = object_of(*at, "properties");
    if (at->contains("properties")) {
      if (!properties.contains(name)) return std::nullopt;
      at = &properties[name];
      normal += (normal.empty() ? "" : ".") + name;
    } else if (member(*at, "additionalProperties").is_object()) {
      at = &(*at)["additionalProperties"];
      normal += "[" + name + "]";
    } else {
      return std::nullopt;
    }
  }
  if (normal.empty()) return std::nullopt;
  return normal;
}

void check_schema_keywords(const Json& schema, const std::string& path, FieldErrors& errors) {
  KeywordCheck(errors).node(schema, path, "", true);
}

}  // namespace muster::local
