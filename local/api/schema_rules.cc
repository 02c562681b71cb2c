// local/api/schema_rules.cc: x-kubernetes-validations: compiling them with the schema, judging objects by
// them
#include <fmt/format.h>

#include "local/api/cel/program.h"
#include "local/api/schema.h"

namespace muster::local {
namespace {

constexpr std::size_t kMessageMax = 5 * 1024;  // of a messageExpression; a longer text is not shown

std::string trimmed(const std::string& text) {
  const auto start = text.find_first_not_of(" \t\r\n\f\v");
  return start == std::string::npos ? ""
                                    : text.substr(start, text.find_last_not_of(" \t\r\n\f\v") - start + 1);
}

// What stands for a rule in errors of its evaluation.
std::string rule_text(const ValidationRule& rule) {
  return trimmed(rule.message.empty() ? rule.rule : rule.message);
}

bool same_key(const Json& a, const Json& b, const Schema& schema) {
  if (!a.is_object() || !b.is_object()) return false;
  for (const std::string& key : schema.list_map_keys)
    if (a.value(key, Json()) != b.value(key, Json())) return false;
  return true;
}

// A node's past. `comparable`: it can be told which old value was its own; else `unchanged` is that of the
// nearest node around it of which it can be told.
struct Past {
  const Json* old = nullptr;
  bool unchanged = false;
};

class RuleWalker {
 public:
  RuleWalker(FieldErrors& errors, std::vector<std::string>& warnings)
      : errors_(errors), warnings_(warnings) {}

  void walk(const Json& value, const Past& past, const Schema& schema, const std::string& path) {
    if (stopped_ || value.is_null()) return;
    for (const ValidationRule& rule : schema.rules) {
      judge(value, past, schema, rule, path);
      if (stopped_) return;
    }
    if (value.is_object()) {
      for (const auto& [name, member] : value.items()) {
        const Schema* type = schema.property(name);
        if (type == nullptr) continue;
        const std::string at = schema.properties.count(name) == 0 && schema.additional
                                   ? fmt::format("{}[{}]", path, name)
                                   : join_path(path, name);
        walk(member, past_of_member(past, schema, name, member), *type, at);
      }
    } else if (value.is_array() && schema.items) {
      for (std::size_t i = 0; i < value.size(); ++i)
        walk(value[i], past_of_item(value[i], past, schema), *schema.items, fmt::format("{}[{}]", path, i));
    }
  }

 private:
  static Past past_of_member(const Past& past, const Schema& schema, const std::string& name,
                             const Json& member) {
    if (past.old == nullptr || schema.map_type == "atomic") return {nullptr, past.unchanged};
    const auto it = past.old->is_object() ? past.old->find(name) : past.old->end();
    if (!past.old->is_object() || it == past.old->end()) return {nullptr, false};
    return {&*it, *it == member};
  }

  // Items of a list-map have a past; those of other lists cannot be told apart.
  static Past past_of_item(const Json& item, const Past& past, const Schema& schema) {
    if (past.old == nullptr || schema.list_type != "map") return {nullptr, past.unchanged};
    if (past.old->is_array())
      for (const Json& before : *past.old)
        if (same_key(item, before, schema)) return {&before, before == item};
    return {nullptr, false};
  }

  static FieldError error_of(const ValidationRule& rule, const std::string& at, const std::string& type,
                             const std::string& message) {
    if (rule.reason == "FieldValueForbidden") return FieldError::forbidden(at, message);
    if (rule.reason == "FieldValueRequired") return FieldError::required(at, message);
    if (rule.reason == "FieldValueDuplicate") return FieldError::duplicate(at, type);
    return FieldError::invalid(at, type, message);
  }

  void out_of_budget(const std::string& at, const std::string& type) {
    errors_.push_back(FieldError::invalid(
        at, type,
        "validation failed due to running out of cost budget, no further validation rules will be run"));
    stopped_ = true;
  }

  void evaluation_error(const Error& error, const ValidationRule& rule, const std::string& at,
                        const std::string& type) {
    if (error.code == Code::kOutOfRange) return out_of_budget(at, type);
    if (error.message.rfind("no such overload", 0) == 0)
      errors_.push_back(
          FieldError::invalid(at, type,
                              fmt::format("'{}': call arguments did not match a supported operator, "
                                          "function or macro signature for rule: {}",
                                          error.message, rule_text(rule))));
    else
      errors_.push_back(FieldError::invalid(
          at, type, fmt::format("{} evaluating rule: {}", error.message, rule_text(rule))));
  }

  std::string message_of(const ValidationRule& rule, const cel::Value& self, const cel::Value* old) {
    if (rule.message_program) {
      const auto text = rule.message_program->evaluate(self, old, budget_);
      if (text && text->kind == cel::Kind::kString) {
        std::string message = trimmed(std::string(text->text()));
        if (!message.empty() && message.size() <= kMessageMax && message.find('\n') == std::string::npos)
          return message;
      }
    }
    return rule.message.empty() ? "failed rule: " + rule_text(rule) : trimmed(rule.message);
  }

  void judge(const Json& value, const Past& past, const Schema& schema, const ValidationRule& rule,
             const std::string& path) {
    if (!rule.program) return;
    if (rule.transition && past.old == nullptr) return;
    const std::string at = path.empty() ? "<nil>" : path;
    const std::string type(type_text(schema.type));
    const cel::Value self = cel::Value::of_json(value, &schema);
    std::optional<cel::Value> old;
    if (past.old != nullptr) old = cel::Value::of_json(*past.old, &schema);
    const auto result = rule.program->evaluate(self, old ? &*old : nullptr, budget_);
    if (!result) return evaluation_error(result.error(), rule, at, type);
    if (result->is_true()) return;
    const std::string place = rule.field_path.empty() ? at
                              : path.empty()          ? rule.field_path
                                                      : path + "." + rule.field_path;
    FieldError error = error_of(rule, place, type, message_of(rule, self, old ? &*old : nullptr));
    if (!rule.transition && past.unchanged)
      warnings_.push_back(error.field + ": " + error.message);
    else
      errors_.push_back(std::move(error));
    if (budget_.steps < 0) out_of_budget(at, type);
  }

  FieldErrors& errors_;
  std::vector<std::string>& warnings_;
  cel::Budget budget_;
  bool stopped_ = false;
};

// The rule as Go prints it.
std::string go_rule(const ValidationRule& rule, const RulePlace& place) {
  return fmt::format(
      "apiextensions.ValidationRule{{Rule:{}, Message:{}, MessageExpression:{}, "
      "Reason:(*apiextensions.FieldValueErrorReason)({}), FieldPath:{}, OptionalOldSelf:(*bool)({})}}",
      go_quote(rule.rule), go_quote(rule.message), go_quote(rule.message_expression),
      rule.reason.empty() ? "nil" : "0x0", go_quote(rule.field_path), place.old_self_said ? "0x0" : "nil");
}

}  // namespace

void compile_rule(ValidationRule& rule, const RulePlace& place, FieldErrors& errors) {
  if (trimmed(rule.rule).empty()) return;  // check_schema_keywords says so
  const auto refuse = [&](const char* member, const std::string& why) {
    errors.push_back(FieldError{"FieldValueInvalid", join_path(place.path, member),
                                fmt::format("Invalid value: {}: {}", go_rule(rule, place), why)});
  };
  const cel::Scope scope{place.schema, place.root};
  auto program = cel::Program::compile(rule.rule, scope, "bool");
  if (!program) {
    const bool typed = program.error().code == Code::kFailedPrecondition;
    refuse("rule", typed ? "cel expression must evaluate to a bool"
                         : "compilation failed: " + program.error().message);
    return;
  }
  rule.program = *std::move(program);
  rule.transition = rule.program->mentions("oldSelf");
  if (!rule.message_expression.empty()) {
    auto message = cel::Program::compile(rule.message_expression, scope, "string");
    if (message)
      rule.message_program = *std::move(message);
    else
      refuse("messageExpression", message.error().code == Code::kFailedPrecondition
                                      ? "messageExpression must evaluate to a string"
                                      : "messageExpression compilation failed: " + message.error().message);
  }
  if (rule.transition && !place.no_past.empty())
    errors.push_back(FieldError::invalid(
        join_path(place.path, "rule"), rule.rule,
        "oldSelf cannot be used on the uncorrelatable portion of the schema within " + place.no_past));
  if (place.old_self_said)
    errors.push_back(FieldError::forbidden(join_path(place.path, "optionalOldSelf"),
                                           "this server evaluates no optionals; write a rule without them"));
}

void validate_rules(const Json& value, const Json* old, const Schema& schema, FieldErrors& errors,
                    std::vector<std::string>& warnings) {
  const bool unchanged = old != nullptr && value == *old;
  RuleWalker(errors, warnings).walk(value, Past{old, unchanged}, schema, "");
}

}  // namespace muster::local
