#pragma once  // local/api/schema.h: the shape of a kind: from a CRD's openAPIV3Schema or the table of
              // built-in types
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json/fields.h"
#include "local/api/api_error.h"

namespace re2 {
class RE2;
}

namespace muster::local {

namespace cel {
class Program;
}

struct Schema;
using SchemaPtr = std::shared_ptr<const Schema>;

struct ValidationRule {  // x-kubernetes-validations
  std::string rule;
  std::string message;
  std::string message_expression;
  std::string reason;       // "" is FieldValueInvalid
  std::string field_path;   // "parts", "parts.name", "extra[x]"
  bool transition = false;  // mentions oldSelf
  std::shared_ptr<const cel::Program> program;
  std::shared_ptr<const cel::Program> message_program;
};

struct Schema {
  enum class Type { kAny, kObject, kArray, kString, kInteger, kNumber, kBoolean };
  Type type = Type::kAny;
  std::string description;
  std::string format;
  std::string type_name;  // of a built-in type: "ObjectMeta"; explain shows it
  bool nullable = false;
  bool preserve_unknown = false;
  bool int_or_string = false;
  bool embedded_resource = false;
  std::map<std::string, SchemaPtr, std::less<>> properties;
  std::vector<std::string> required;
  SchemaPtr additional;  // the values of a map; null: none allowed
  SchemaPtr items;
  std::optional<Json> default_value;
  std::vector<Json> enumeration;
  std::optional<double> minimum, maximum, multiple_of;
  bool exclusive_minimum = false, exclusive_maximum = false, unique_items = false;
  std::optional<std::int64_t> min_length, max_length, min_items, max_items, min_properties, max_properties;
  std::string pattern;
  std::shared_ptr<const re2::RE2> regex;
  std::vector<SchemaPtr> all_of, any_of, one_of;
  SchemaPtr negated;      // not
  std::string list_type;  // "atomic" (also ""), "set", "map"
  std::vector<std::string> list_map_keys;
  std::string map_type;         // "granular" (also ""), "atomic"
  std::string patch_merge_key;  // strategic merge of built-in types
  bool patch_merge = false;
  bool retain_keys = false;
  std::vector<ValidationRule> rules;

  [[nodiscard]] const Schema* property(std::string_view name) const;  // or the map's value; null if unknown
};

// Where a rule stands.
struct RulePlace {
  const Schema* schema = nullptr;
  bool root = false;           // of a whole resource
  std::string path;            // of the rule
  std::string no_past;         // path of the list or map whose items have no past; "" if oldSelf may be used
  bool old_self_said = false;  // optionalOldSelf is written down
};
// Compiles the rule's expressions (schema_rules.cc).
void compile_rule(ValidationRule& rule, const RulePlace& place, FieldErrors& errors);

[[nodiscard]] std::string_view type_text(Schema::Type type);

// What a real server refuses in an openAPIV3Schema, but for its rules (schema_check.cc): that it is
// structural, and what its keywords say. Errors have paths under `path`.
void check_schema_structure(const Json& schema, const std::string& path, FieldErrors& errors);
void check_schema_keywords(const Json& schema, const std::string& path, FieldErrors& errors);
// ".parts['x'].name" of a rule as a path of errors: "parts.x.name", "extra[x]"; none if the schema has no
// such field.
[[nodiscard]] std::optional<std::string> field_path_of(const std::string& text, const Json& schema);

// Compiles an openAPIV3Schema; errors are those of its rules, with paths under `path`.
[[nodiscard]] SchemaPtr compile_schema(const Json& schema, const std::string& path, FieldErrors& errors);

// apiVersion, kind and metadata of every object.
[[nodiscard]] SchemaPtr object_meta_schema();

// Fills defaults in, top down; null of a field that is not nullable and has a default gives way to it.
void apply_defaults(Json& value, const Schema& schema);
// Removes what the schema does not know; its paths ("spec.sise") are appended to `unknown`.
void prune(Json& object, const Schema& schema, std::vector<std::string>& unknown);
// Removes null values of fields that have a type and are not nullable (what prune leaves of them).
void drop_nulls(Json& value, const Schema& schema);
// Makes empty objects of nulls in lists of objects, as decoding into a Go struct does.
void fill_null_items(Json& value, const Schema& schema);

// Types, values, required fields, list-maps and sets. Rules are not part of it: see validate_rules.
void validate_schema(const Json& value, const Schema& schema, const std::string& path, FieldErrors& errors);
// CEL rules; `old` is null on creation. What broke a rule before and was not touched only warns. Gives up (an
// error says so) when the rules cost too much.
void validate_rules(const Json& value, const Json* old, const Schema& schema, FieldErrors& errors,
                    std::vector<std::string>& warnings);
// True if errors are such that rules cannot be judged.
[[nodiscard]] bool blocks_rules(const FieldErrors& errors);

[[nodiscard]] std::string join_path(const std::string& path, std::string_view name);

}  // namespace muster::local
