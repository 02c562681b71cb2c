// local/api/schema_structure.cc: whether the schema of a definition is structural
#include <fmt/format.h>
#include <re2/re2.h>

#include "local/api/schema_raw.h"

namespace muster::local {
namespace {

using raw::flag;
using raw::kBranches;
using raw::property_path;

// What Go's parser, of the same family, says where RE2 says otherwise.
std::string go_regexp_error(const re2::RE2& regex) {
  const auto words = [&]() -> std::string {
    switch (regex.error_code()) {
      case re2::RE2::ErrorMissingBracket: return "missing closing ]";
      case re2::RE2::ErrorMissingParen: return "missing closing )";
      case re2::RE2::ErrorRepeatArgument: return "missing argument to repetition operator";
      case re2::RE2::ErrorRepeatSize: return "invalid repeat count";
      case re2::RE2::ErrorRepeatOp: return "invalid nested repetition operator";
      case re2::RE2::ErrorBadPerlOp: return "invalid or unsupported Perl syntax";
      case re2::RE2::ErrorTrailingBackslash: return "trailing backslash at end of expression";
      case re2::RE2::ErrorBadNamedCapture: return "invalid named capture";
      case re2::RE2::ErrorBadCharRange: return "invalid character class range";
      case re2::RE2::ErrorBadEscape: return "invalid escape sequence";
      default: return regex.error();
    }
  }();
  return fmt::format("{}: `{}`", words, regex.error_arg());
}

// A schema is structural: each field has one type, declared outside of allOf, anyOf, oneOf and not, which
// only restrict values.
class StructuralCheck {
 public:
  explicit StructuralCheck(FieldErrors& errors) : errors_(errors) {}

  enum class Level { kRoot, kItem, kField };

  void node(const Json& json, Level level, const std::string& path) {
    const std::string type = text_at(json, "type");
    const Json& items = member(json, "items");
    if (type == "array" && !items.is_object())
      errors_.push_back(FieldError::required(path + ".items", "must be specified"));
    if (items.is_object()) node(items, Level::kItem, path + ".items");
    for (const auto& [name, property] : object_of(json, "properties").items())
      if (property.is_object()) node(property, Level::kField, property_path(path, name));
    additional(json, level, path);
    extensions(json, path);
    values(json, int_or_string_pattern(member(json, "anyOf")), path);
    check_type(json, type, level, path);
    if (level == Level::kRoot || flag(json, "x-kubernetes-embedded-resource"))
      resource_fields(json, level, path);
    completeness(json, json, path, path);
  }

 private:
  void additional(const Json& json, Level level, const std::string& path) {
    const Json& values = member(json, "additionalProperties");
    if (values.is_null()) return;
    if (level == Level::kRoot)
      errors_.push_back(
          FieldError::forbidden(path + ".additionalProperties", "must not be used at the root"));
    if (flag(json, "x-kubernetes-embedded-resource"))
      errors_.push_back(FieldError::forbidden(path + ".additionalProperties",
                                              "must not be used if x-kubernetes-embedded-resource is set"));
    if (values.is_object()) node(values, Level::kField, path + ".additionalProperties");
  }

  void extensions(const Json& json, const std::string& path) {
    if (!flag(json, "x-kubernetes-int-or-string")) return;
    for (const char* other : {"x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"})
      if (flag(json, other))
        errors_.push_back(FieldError::invalid(join_path(path, other), true,
                                              "must be false if x-kubernetes-int-or-string is true"));
  }

  void check_type(const Json& json, const std::string& type, Level level, const std::string& path) {
    const bool embedded = flag(json, "x-kubernetes-embedded-resource");
    const bool free = flag(json, "x-kubernetes-preserve-unknown-fields");
    if (embedded && type != "object") {
      constexpr const char* kWhy = "must be object if x-kubernetes-embedded-resource is true";
      errors_.push_back(type.empty() ? FieldError::required(path + ".type", kWhy)
                                     : FieldError::invalid(path + ".type", type, kWhy));
    } else if (type.empty() && !flag(json, "x-kubernetes-int-or-string") && !free) {
      errors_.push_back(FieldError::required(
          path + ".type", level == Level::kRoot   ? "must not be empty at the root"
                          : level == Level::kItem ? "must not be empty for specified array items"
                                                  : "must not be empty for specified object fields"));
    }
    if (level == Level::kRoot && !type.empty() && type != "object")
      errors_.push_back(FieldError::invalid(path + ".type", type, "must be object at the root"));
    if (embedded && !free && object_of(json, "properties").empty())
      errors_.push_back(
          FieldError::required(path + ".properties",
                               "must not be empty if x-kubernetes-embedded-resource is true without "
                               "x-kubernetes-preserve-unknown-fields"));
  }

  void resource_fields(const Json& json, Level level, const std::string& path) {
    const Json& properties = object_of(json, "properties");
    for (const char* name : {"kind", "apiVersion"})
      if (properties.contains(name) && text_at(properties[name], "type") != "string")
        errors_.push_back(FieldError::invalid(property_path(path, name) + ".type",
                                              text_at(properties[name], "type"), "must be string"));
    if (!properties.contains("metadata")) return;
    const Json& metadata = properties["metadata"];
    if (text_at(metadata, "type") != "object")
      errors_.push_back(FieldError::invalid(property_path(path, "metadata") + ".type",
                                            text_at(metadata, "type"), "must be object"));
    bool plain = true;
    for (const auto& [name, value] : metadata.items())
      plain = plain && (name == "type" || name == "default" || name == "description" || name == "title" ||
                        name == "properties");
    for (const auto& [name, value] : object_of(metadata, "properties").items())
      plain = plain && (name == "name" || name == "generateName");
    if (level == Level::kRoot && !plain)
      errors_.push_back(
          FieldError::forbidden(property_path(path, "metadata"),
                                "must not specify anything other than name and generateName, but "
                                "metadata is implicitly specified"));
  }

  static bool int_or_string_pattern(const Json& any_of) {
    return any_of == Json::array({{{"type", "integer"}}, {{"type", "string"}}});
  }

  void values(const Json& json, bool skip_any_of, const std::string& path) {
    for (const char* branch : kBranches) {
      if (skip_any_of && std::string_view(branch) == "anyOf") continue;
      const Json& list = array_of(json, branch);
      for (std::size_t i = 0; i < list.size(); ++i) {
        const bool first_all_of = std::string_view(branch) == "allOf" && i == 0 && list[i].is_object();
        nested(list[i], first_all_of && int_or_string_pattern(member(list[i], "anyOf")),
               fmt::format("{}.{}[{}]", path, branch, i));
      }
    }
    if (json.contains("not")) nested(json["not"], false, path + ".not");
    const std::string pattern = text_at(json, "pattern");
    if (pattern.empty()) return;
    RE2::Options options;
    options.set_log_errors(false);
    const re2::RE2 regex(pattern, options);
    if (!regex.ok())
      errors_.push_back(FieldError::invalid(
          path + ".pattern", pattern,
          "must be a valid regular expression, but isn't: error parsing regexp: " + go_regexp_error(regex)));
  }

  void nested(const Json& json, bool skip_any_of, const std::string& path) {
    if (!json.is_object()) return;
    values(json, skip_any_of, path);
    if (member(json, "items").is_object()) nested(json["items"], false, path + ".items");
    for (const auto& [name, property] : object_of(json, "properties").items())
      nested(property, false, property_path(path, name));
    const auto forbid = [&](const char* name, const char* why) {
      errors_.push_back(FieldError::forbidden(join_path(path, name), why));
    };
    for (const char* name : {"type", "title", "description"})
      if (!text_at(json, name).empty()) forbid(name, "must be empty to be structural");
    for (const char* name :
         {"additionalProperties", "default", "x-kubernetes-list-type", "x-kubernetes-map-type"})
      if (json.contains(name)) forbid(name, "must be undefined to be structural");
    for (const char* name : {"nullable", "x-kubernetes-preserve-unknown-fields",
                             "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"})
      if (flag(json, name)) forbid(name, "must be false to be structural");
    for (const char* name : {"x-kubernetes-list-map-keys", "x-kubernetes-validations"})
      if (!array_of(json, name).empty()) forbid(name, "must be empty to be structural");
    if (object_of(json, "properties").contains("metadata"))
      errors_.push_back(FieldError::forbidden(property_path(path, "metadata"),
                                              "must not be specified in a nested context"));
  }

  // Whatever a branch restricts must be declared outside of it.
  void completeness(const Json& json, const Json& declared, const std::string& path, const std::string& at) {
    for (const char* branch : kBranches) {
      const Json& list = array_of(json, branch);
      for (std::size_t i = 0; i < list.size(); ++i)
        nested_completeness(list[i], declared, path, fmt::format("{}.{}[{}]", at, branch, i));
    }
    if (json.contains("not")) nested_completeness(json["not"], declared, path, at + ".not");
  }

  void nested_completeness(const Json& json, const Json& declared, const std::string& path,
                           const std::string& at) {
    if (!json.is_object()) return;
    completeness(json, declared, path, at);
    if (member(json, "items").is_object()) {
      const Json& items = member(declared, "items");
      if (items.is_object())
        nested_completeness(json["items"], items, path + ".items", at + ".items");
      else
        errors_.push_back(FieldError::required(path + ".items", "because it is defined in " + at + ".items"));
    }
    for (const auto& [name, property] : object_of(json, "properties").items()) {
      const Json& fields = object_of(declared, "properties");
      const std::string there = property_path(at, name);
      if (fields.contains(name))
        nested_completeness(property, fields[name], property_path(path, name), there);
      else
        errors_.push_back(
            FieldError::required(property_path(path, name), "because it is defined in " + there));
    }
  }

  FieldErrors& errors_;
};

}  // namespace

void check_schema_structure(const Json& schema, const std::string& path, FieldErrors& errors) {
  StructuralCheck(errors).node(schema, StructuralCheck::Level::kRoot, path);
}

}  // namespace muster::local
