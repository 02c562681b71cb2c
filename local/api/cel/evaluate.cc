// local/api/cel/evaluate.cc: walks an expression; && and ||, ?: and the macros are here, the rest in
// functions.h
#include <algorithm>
#include <cmath>
#include <optional>

#include "local/api/cel/checker.h"
#include "local/api/cel/functions.h"
#include "local/api/cel/program.h"

namespace muster::local::cel {
namespace {

constexpr std::int64_t kMatchSteps = 200;  // of compiling a regular expression

Error no_such_key(std::string_view key) { return invalid_argument("no such key: " + std::string(key)); }

// Steps for a value that is handed on whole: those of its text, or of the items that it has itself.
std::int64_t width(const Value& value) {
  const bool text = value.kind == Kind::kString || value.kind == Kind::kBytes;
  return static_cast<std::int64_t>(text ? value.text().size() / 64 : value.size());
}

std::int64_t weight(const Value& value, std::int64_t at_most) {
  std::int64_t left = at_most;
  value.weigh(left);
  return at_most - left;
}

class Evaluator {
 public:
  Evaluator(const Value& self, const Value* old_self, Budget& budget) : budget_(budget) {
    locals_.emplace_back("self", self);
    if (old_self != nullptr) locals_.emplace_back("oldSelf", *old_self);
  }

  Result<Value> run(const Node& node) {
    if (--budget_.steps < 0) return too_costly();
    switch (node.kind) {
      case Node::Kind::kLiteral: return node.literal;
      case Node::Kind::kName: return name(node);
      case Node::Kind::kSelect: return select(node);
      case Node::Kind::kIndex: return index(node);
      case Node::Kind::kHas: return has(node);
      case Node::Kind::kList: return list(node);
      case Node::Kind::kMap: return map(node);
      case Node::Kind::kMacro: return macro(node);
      case Node::Kind::kCall: return call(node);
    }
    return no_overload();
  }

 private:
  Result<Value> name(const Node& node) {
    for (auto it = locals_.rbegin(); it != locals_.rend(); ++it)
      if (it->first == node.text) return readable(it->second);
    if (node.text == "oldSelf") return invalid_argument("no such attribute(s): oldSelf");
    return Value::of_text(node.text, Kind::kType);
  }

  // A member by its name, or by the form in which CEL writes names that it reserves.
  Result<std::optional<Value>> member(const Value& target, const std::string& name) {
    budget_.steps -= target.find_steps();
    MUSTER_ASSIGN(auto found, target.find(Value::of_text(name)));
    if (found || name.find("__") == std::string::npos) return found;
    budget_.steps -= width(target);
    for (const Value& key : target.keys())
      if (escape_field(key.text()) == name) return target.find(key);
    return found;
  }

  Result<Value> select(const Node& node) {
    MUSTER_ASSIGN(const Value target, run(*node.parts[0]));
    if (target.kind != Kind::kMap) return no_such_key(node.text);
    MUSTER_ASSIGN(auto found, member(target, node.text));
    if (!found) return no_such_key(node.text);
    return readable(*std::move(found));
  }

  static Result<Value> readable(Value value) {
    if (value.misplaced) return invalid_argument("invalid data, expected int, got float64");
    return value;
  }

  Result<Value> has(const Node& node) {
    MUSTER_ASSIGN(const Value target, run(*node.parts[0]));
    if (target.kind != Kind::kMap) return no_overload();
    MUSTER_ASSIGN(const auto found, member(target, node.text));
    return Value::of_bool(found.has_value());
  }

  Result<Value> index(const Node& node) {
    MUSTER_ASSIGN(const Value target, run(*node.parts[0]));
    MUSTER_ASSIGN(Value key, run(*node.parts[1]));
    if (target.kind == Kind::kList && key.is_number()) {
      const double at = key.as_double();
      if (!(at >= 0 && at < static_cast<double>(target.size())) || at != std::floor(at)) {
        const double shown = std::isnan(at) ? 0 : std::clamp(at, -9e18, 9e18);
        return invalid_argument("index out of bounds: " + std::to_string(static_cast<std::int64_t>(shown)));
      }
      return readable(target.item(static_cast<std::size_t>(at)));
    }
    if (target.kind != Kind::kMap) return no_overload();
    budget_.steps -= target.find_steps();
    MUSTER_ASSIGN(auto found, target.find(key));
    if (found) return readable(*std::move(found));
    return no_such_key(key.kind == Kind::kInt ? std::to_string(key.number) : std::string(key.text()));
  }

  Result<Value> list(const Node& node) {
    std::vector<Value> items;
    for (const auto& part : node.parts) {
      MUSTER_ASSIGN(Value item, run(*part));
      items.push_back(std::move(item));
    }
    return Value::of_list(std::move(items));
  }

  Result<Value> map(const Node& node) {
    std::vector<Value> entries;
    for (std::size_t i = 0; i + 1 < node.parts.size(); i += 2) {
      MUSTER_ASSIGN(Value key, run(*node.parts[i]));
      MUSTER_ASSIGN(Value value, run(*node.parts[i + 1]));
      entries.push_back(std::move(key));
      entries.push_back(std::move(value));
    }
    return Value::of_map(std::move(entries));
  }

  Result<Value> body(const Node& node, std::size_t part, const Value& item) {
    locals_.emplace_back(node.variable, item);
    auto result = run(*node.parts[part]);
    locals_.pop_back();
    return result;
  }

  // What a macro's variable stands for, one after the other: items of a list, keys of a map.
  static Result<std::vector<Value>> range_of(const Value& target) {
    if (target.kind == Kind::kMap) return target.keys();
    if (target.kind != Kind::kList) return no_overload();
    std::vector<Value> range;
    for (std::size_t i = 0; i < target.size(); ++i) range.push_back(target.item(i));
    return range;
  }

  Result<Value> macro(const Node& node) {
    MUSTER_ASSIGN(const Value target, run(*node.parts[0]));
    budget_.steps -= width(target);
    if (budget_.steps < 0) return too_costly();
    MUSTER_ASSIGN(const auto range, range_of(target));
    if (node.text == "all" || node.text == "exists") return quantifier(node, range, node.text == "all");
    const bool maps = node.text == "map";
    const bool filtered = !maps || node.parts.size() == 3;
    std::vector<Value> collected;
    for (const Value& item : range) {
      MUSTER_ASSIGN(Value value, body(node, 1, item));
      if (filtered && value.kind != Kind::kBool) return no_overload();
      if (filtered && !value.is_true()) continue;
      if (maps && filtered) {
        MUSTER_ASSIGN(value, body(node, 2, item));
      }
      if (!maps) value = item;
      collected.push_back(std::move(value));
    }
    if (node.text == "exists_one") return Value::of_bool(collected.size() == 1);
    return Value::of_list(std::move(collected));
  }

  // An item that decides the answer outweighs errors of others.
  Result<Value> quantifier(const Node& node, const std::vector<Value>& range, bool all) {
    std::optional<Error> problem;
    for (const Value& item : range) {
      auto value = body(node, 1, item);
      if (value && value->kind == Kind::kBool) {
        if (value->is_true() != all) return Value::of_bool(!all);
        continue;
      }
      if (!value && value.error().code == Code::kOutOfRange) return value.error();
      if (!problem) problem = value ? no_overload() : value.error();
    }
    if (problem) return *problem;
    return Value::of_bool(all);
  }

  // Takes from the budget what a call costs, before it is done.
  void charge(const std::string& function, const Arguments& a) {
    for (const Value& value : a) budget_.steps -= width(value);
    if (function == "matches") budget_.steps -= kMatchSteps;
    if (function == "_in_")
      for (const Value& value : a) value.weigh(budget_.steps);
    if (a.size() != 2 || budget_.steps < 0) return;
    // Each item of one list may be compared with each of the other.
    const Schema* schema = a[0].schema();
    if (function == "_+_" && schema != nullptr && (schema->list_type == "set" || schema->list_type == "map"))
      budget_.steps -= weight(a[1], budget_.steps) * (width(a[0]) + width(a[1]));
  }

  Result<Value> call(const Node& node) {
    if (node.text == "_&&_" || node.text == "_||_") return logic(node, node.text == "_&&_");
    if (node.text == "_?_:_") {
      MUSTER_ASSIGN(const Value condition, run(*node.parts[0]));
      if (condition.kind != Kind::kBool) return no_overload();
      return run(*node.parts[condition.is_true() ? 1 : 2]);
    }
    Arguments arguments;
    for (const auto& part : node.parts) {
      MUSTER_ASSIGN(Value value, run(*part));
      arguments.push_back(std::move(value));
    }
    if (node.text == "_==_" || node.text == "_!=_") {
      MUSTER_ASSIGN(const bool same, equal(arguments[0], arguments[1], budget_.steps));
      return Value::of_bool(same == (node.text == "_==_"));
    }
    charge(node.text, arguments);
    if (budget_.steps < 0) return too_costly();
    const Function function = find_function(node.text);
    if (function == nullptr) return no_overload();
    auto result = function(arguments);
    if (result) budget_.steps -= width(*result);
    return result;
  }

  Result<Value> logic(const Node& node, bool conjunction) {
    auto left = run(*node.parts[0]);
    if (left && left->kind == Kind::kBool && left->is_true() != conjunction) return left;
    auto right = run(*node.parts[1]);
    if (right && right->kind == Kind::kBool && right->is_true() != conjunction) return right;
    if (!left) return left;
    if (!right) return right;
    if (left->kind != Kind::kBool || right->kind != Kind::kBool) return no_overload();
    return right;
  }

  Budget& budget_;
  std::vector<std::pair<std::string, Value>> locals_;
};

bool mentions_name(const Node& node, std::string_view name) {
  if (node.kind == Node::Kind::kName && node.text == name) return true;
  return std::any_of(node.parts.begin(), node.parts.end(),
                     [&](const auto& part) { return mentions_name(*part, name); });
}

}  // namespace

Error located(std::string_view text, std::size_t at, std::string_view message) {
  std::size_t line = 1, start = 0;
  for (std::size_t i = 0; i < at && i < text.size(); ++i)
    if (text[i] == '\n') {
      ++line;
      start = i + 1;
    }
  const std::string_view shown = text.substr(start, text.substr(start).find('\n'));
  const std::size_t column = std::min(at, text.size()) - start;
  return invalid_argument("ERROR: <input>:" + std::to_string(line) + ":" + std::to_string(column + 1) + ": " +
                          std::string(message) + "\n | " + std::string(shown) + "\n | " +
                          std::string(column, '.') + "^");
}

Result<std::shared_ptr<const Program>> Program::compile(std::string_view text, const Scope& scope,
                                                        std::string_view result) {
  MUSTER_ASSIGN(auto root, parse(text));
  MUSTER_ASSIGN(const TypePtr type, check_types(*root, scope, text));
  if (type->name != result && type->name != "dyn")
    return Error{Code::kFailedPrecondition, "the expression must evaluate to a " + std::string(result)};
  return std::shared_ptr<const Program>(new Program(std::move(root)));
}

Result<Value> Program::evaluate(const Value& self, const Value* old_self, Budget& budget) const {
  return Evaluator(self, old_self, budget).run(*root_);
}

bool Program::mentions(std::string_view name) const { return mentions_name(*root_, name); }

}  // namespace muster::local::cel
