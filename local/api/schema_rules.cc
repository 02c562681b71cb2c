// local/api/schema_rules.cc: x-kubernetes-validations: compiling them with the schema, judging objects by
// them
#include <fmt/format.h>

#include "local/api/cel/program.h"
#include "local/api/schema.h"

namespace muster::local {
namespace {

std::string one_line(const std::string& text) {
  std::string line;
  for (const char c : text) line += c == '\n' ? ' ' : c;
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

std::string value_type(const Json& value) {
  if (value.is_object()) return "object";
  if (value.is_array()) return "array";
  if (value.is_string()) return "string";
  if (value.is_boolean()) return "boolean";
  return value.is_number_integer() ? "integer" : "number";
}

class RuleWalker {
 public:
  explicit RuleWalker(FieldErrors& errors) : errors_(errors) {}

  void walk(const Json& value, const Json* old, const Schema& schema, const std::string& path) {
    if (budget_.steps < 0 || value.is_null()) return;
    for (const ValidationRule& rule : schema.rules) judge(value, old, schema, rule, path);
    if (value.is_object()) {
      for (const auto& [name, member] : value.items()) {
        const Schema* type = schema.property(name);
        if (type == nullptr) continue;
        const Json* before =
            old != nullptr && old->is_object() && old->contains(name) ? &(*old)[name] : nullptr;
        walk(member, before, *type, join_path(path, name));
      }
    } else if (value.is_array() && schema.items) {
      for (std::size_t i = 0; i < value.size(); ++i)
        walk(value[i], counterpart(value[i], old, schema), *schema.items, fmt::format("{}[{}]", path, i));
    }
  }

 private:
  // Items of a list-map have a past; those of other lists cannot be told apart.
  static const Json* counterpart(const Json& item, const Json* old, const Schema& schema) {
    if (old == nullptr || !old->is_array() || schema.list_type != "map" || !item.is_object()) return nullptr;
    for (const Json& before : *old) {
      bool same = before.is_object();
      for (const std::string& key : schema.list_map_keys)
        same = same && before.value(key, Json()) == item.value(key, Json());
      if (same) return &before;
    }
    return nullptr;
  }

  void judge(const Json& value, const Json* old, const Schema& schema, const ValidationRule& rule,
             const std::string& path) {
    if (!rule.program || (rule.transition && old == nullptr)) return;
    std::map<std::string, const Json*> variables{{"self", &value}};
    if (old != nullptr) variables["oldSelf"] = old;
    const auto result = rule.program->evaluate(variables, budget_);
    const std::string type =
        schema.type == Schema::Type::kAny ? value_type(value) : std::string(type_text(schema.type));
    if (!result) {
      if (result.error().code == Code::kOutOfRange) {
        errors_.push_back(FieldError::invalid(
            path, type,
            "validation failed due to running out of cost budget, no further validation rules will be run"));
        return;
      }
      errors_.push_back(FieldError::invalid(
          path, type,
          fmt::format("rule evaluation error: {}: {}", result.error().message, one_line(rule.rule))));
      return;
    }
    if (*result == Json(true)) return;
    std::string message =
        rule.message.empty() ? "failed rule: " + one_line(rule.rule) : one_line(rule.message);
    if (rule.message_program) {
      const auto text = rule.message_program->evaluate(variables, budget_);
      if (text && text->is_string() && !text->get_ref<const std::string&>().empty())
        message = one_line(text->get<std::string>());
    }
    const std::string at = path + rule.field_path;
    if (rule.reason == "FieldValueForbidden")
      errors_.push_back(FieldError::forbidden(at, message));
    else if (rule.reason == "FieldValueRequired")
      errors_.push_back(FieldError::required(at, message));
    else if (rule.reason == "FieldValueDuplicate")
      errors_.push_back(FieldError::duplicate(at, type));
    else
      errors_.push_back(FieldError::invalid(at, type, message));
  }

  FieldErrors& errors_;
  cel::Budget budget_;
};

}  // namespace

void compile_rule(ValidationRule& rule, const std::string& path, FieldErrors& errors) {
  if (rule.rule.empty()) {
    errors.push_back(FieldError::required(join_path(path, "rule"), "rule is not specified"));
    return;
  }
  auto program = cel::Program::compile(rule.rule, {"self", "oldSelf"});
  if (!program) {
    errors.push_back(FieldError{"FieldValueInvalid", join_path(path, "rule"),
                                fmt::format("Invalid value: apiextensions.ValidationRule{{Rule:{}}}: "
                                            "compilation failed: ERROR: <input>:1:1: {}",
                                            go_quote(rule.rule), program.error().message)});
    return;
  }
  rule.program = *std::move(program);
  rule.transition = rule.program->mentions("oldSelf") && !rule.optional_old_self;
  if (rule.message_expression.empty()) return;
  auto message = cel::Program::compile(rule.message_expression, {"self", "oldSelf"});
  if (!message)
    errors.push_back(FieldError::invalid(join_path(path, "messageExpression"), rule.message_expression,
                                         "messageExpression compilation failed: " + message.error().message));
  else
    rule.message_program = *std::move(message);
}

void validate_rules(const Json& value, const Json* old, const Schema& schema, FieldErrors& errors) {
  RuleWalker(errors).walk(value, old, schema, "");
}

}  // namespace muster::local
