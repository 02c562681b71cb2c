// local/api/cel/evaluate.cc: CEL's values, operators and macros over JSON
#include <algorithm>
#include <cmath>
#include <set>

#include "local/api/cel/functions.h"
#include "local/api/cel/program.h"

namespace muster::local::cel {
namespace {

Error failure(std::string message) { return invalid_argument(std::move(message)); }
Error no_overload() { return failure("no such overload"); }

// A name of a field that CEL cannot write is escaped: "__dash__" and the like.
std::string unescape(const std::string& name) {
  std::string out = name;
  static const std::pair<const char*, const char*> kEscapes[] = {
      {"__dot__", "."}, {"__dash__", "-"}, {"__slash__", "/"}};
  for (const auto& [from, to] : kEscapes)
    for (auto at = out.find(from); at != std::string::npos; at = out.find(from))
      out.replace(at, std::string_view(from).size(), to);
  if (out.size() > 4 && out.rfind("__", 0) == 0 && out.substr(out.size() - 2) == "__")
    out = out.substr(2, out.size() - 4);
  return out;
}

class Evaluator {
 public:
  Evaluator(const std::map<std::string, const Json*>& variables, Budget& budget)
      : variables_(variables), budget_(budget) {}

  Result<Json> run(const Node& node) {
    MUSTER_ASSIGN(const Json* value, find(node));
    return *value;
  }

 private:
  // A value without copying it where it already is part of a variable.
  Result<const Json*> find(const Node& node) {
    if (--budget_.steps < 0) return Error{Code::kOutOfRange, "the rule costs too much to evaluate"};
    switch (node.kind) {
      case Node::Kind::kLiteral: return &node.literal;
      case Node::Kind::kName: return name(node);
      case Node::Kind::kSelect: return select(node);
      case Node::Kind::kIndex: return index(node);
      case Node::Kind::kHas: return has(node);
      case Node::Kind::kList: return list(node);
      case Node::Kind::kMap: return map(node);
      case Node::Kind::kMacro: return macro(node);
      case Node::Kind::kCall: return call(node);
    }
    return failure("unknown expression");
  }

  const Json* keep(Json value) {
    kept_.push_back(std::make_unique<Json>(std::move(value)));
    return kept_.back().get();
  }

  Result<const Json*> name(const Node& node) {
    for (auto it = locals_.rbegin(); it != locals_.rend(); ++it)
      if (it->first == node.text) return it->second;
    const auto it = variables_.find(node.text);
    if (it == variables_.end() || it->second == nullptr) return failure("no such attribute(s): " + node.text);
    return it->second;
  }

  static const Json* member(const Json& object, const std::string& name) {
    auto it = object.find(name);
    if (it == object.end()) it = object.find(unescape(name));
    return it == object.end() ? nullptr : &*it;
  }

  Result<const Json*> select(const Node& node) {
    MUSTER_ASSIGN(const Json* target, find(*node.parts[0]));
    if (!target->is_object()) return failure("no such key: " + node.text);
    const Json* value = member(*target, node.text);
    if (value == nullptr) return failure("no such key: " + node.text);
    return value;
  }

  Result<const Json*> has(const Node& node) {
    MUSTER_ASSIGN(const Json* target, find(*node.parts[0]));
    if (!target->is_object()) return failure("invalid type for field selection: " + node.text);
    return keep(member(*target, node.text) != nullptr);
  }

  Result<const Json*> index(const Node& node) {
    MUSTER_ASSIGN(const Json* target, find(*node.parts[0]));
    MUSTER_ASSIGN(const Json* key, find(*node.parts[1]));
    if (target->is_array() && key->is_number_integer()) {
      const auto at = key->get<std::int64_t>();
      if (at < 0 || at >= static_cast<std::int64_t>(target->size()))
        return failure("index out of bounds: " + std::to_string(at));
      return &(*target)[static_cast<std::size_t>(at)];
    }
    if (target->is_object() && key->is_string()) {
      const auto it = target->find(key->get<std::string>());
      if (it == target->end()) return failure("no such key: " + key->get<std::string>());
      return &*it;
    }
    return no_overload();
  }

  Result<const Json*> list(const Node& node) {
    Json values = Json::array();
    for (const auto& part : node.parts) {
      MUSTER_ASSIGN(const Json* value, find(*part));
      values.push_back(*value);
    }
    return keep(std::move(values));
  }

  Result<const Json*> map(const Node& node) {
    Json values = Json::object();
    for (std::size_t i = 0; i + 1 < node.parts.size(); i += 2) {
      MUSTER_ASSIGN(const Json* key, find(*node.parts[i]));
      if (!key->is_string()) return failure("a key of a map must be a string");
      MUSTER_ASSIGN(const Json* value, find(*node.parts[i + 1]));
      values[key->get<std::string>()] = *value;
    }
    return keep(std::move(values));
  }

  Result<Json> with(const std::string& variable, const Json& value, const Node& body) {
    locals_.emplace_back(variable, &value);
    auto result = find(body);
    locals_.pop_back();
    if (!result) return result.error();
    return **result;
  }

  Result<const Json*> macro(const Node& node) {
    MUSTER_ASSIGN(const Json* target, find(*node.parts[0]));
    Json keys = Json::array();  // of a map, its keys
    if (target->is_object())
      for (const auto& [key, value] : target->items()) keys.push_back(key);
    else if (!target->is_array())
      return no_overload();
    const Json* items = target->is_object() ? keep(std::move(keys)) : target;
    if (node.text == "all" || node.text == "exists") return quantifier(node, *items, node.text == "all");
    Json collected = Json::array();
    std::int64_t count = 0;
    for (const Json& item : *items) {
      MUSTER_ASSIGN(Json first, with(node.variable, item, *node.parts[1]));
      const bool filtered = node.text != "map" || node.parts.size() == 3;
      if (filtered && !first.is_boolean()) return no_overload();
      if (filtered && !first.get<bool>()) continue;
      ++count;
      if (node.text == "filter") {
        collected.push_back(item);
      } else if (node.text == "map" && node.parts.size() == 3) {
        MUSTER_ASSIGN(Json mapped, with(node.variable, item, *node.parts[2]));
        collected.push_back(std::move(mapped));
      } else if (node.text == "map") {
        collected.push_back(std::move(first));
      }
    }
    if (node.text == "exists_one") return keep(count == 1);
    return keep(std::move(collected));
  }

  // An item that decides the answer outweighs errors of others.
  Result<const Json*> quantifier(const Node& node, const Json& items, bool all) {
    std::optional<Error> problem;
    for (const Json& item : items) {
      auto value = with(node.variable, item, *node.parts[1]);
      if (value && value->is_boolean()) {
        if (value->get<bool>() != all) return keep(!all);
        continue;
      }
      if (!value && value.error().code == Code::kOutOfRange) return value.error();
      if (!problem) problem = value ? no_overload() : value.error();
    }
    if (problem) return *problem;
    return keep(all);
  }

  Result<const Json*> call(const Node& node) {
    if (node.text == "_&&_" || node.text == "_||_") return logic(node, node.text == "_&&_");
    if (node.text == "_?_:_") {
      MUSTER_ASSIGN(const Json* condition, find(*node.parts[0]));
      if (!condition->is_boolean()) return no_overload();
      return find(*node.parts[condition->get<bool>() ? 1 : 2]);
    }
    std::vector<const Json*> arguments;
    for (const auto& part : node.parts) {
      MUSTER_ASSIGN(const Json* value, find(*part));
      arguments.push_back(value);
      if (value->is_string())
        budget_.steps -= static_cast<std::int64_t>(value->get_ref<const std::string&>().size() / 64);
      if (value->is_structured()) budget_.steps -= static_cast<std::int64_t>(value->size());
    }
    MUSTER_ASSIGN(Json result, call_function(node.text, arguments));
    return keep(std::move(result));
  }

  Result<const Json*> logic(const Node& node, bool conjunction) {
    auto left = find(*node.parts[0]);
    if (left && (*left)->is_boolean() && (*left)->get<bool>() != conjunction) return left;
    auto right = find(*node.parts[1]);
    if (right && (*right)->is_boolean() && (*right)->get<bool>() != conjunction) return right;
    if (!left) return left;
    if (!right) return right;
    if (!(*left)->is_boolean() || !(*right)->is_boolean()) return no_overload();
    return right;
  }

  const std::map<std::string, const Json*>& variables_;
  Budget& budget_;
  std::vector<std::pair<std::string, const Json*>> locals_;
  std::vector<std::unique_ptr<Json>> kept_;
};

Status check(const Node& node, std::vector<std::string>& names) {
  if (node.kind == Node::Kind::kName && std::find(names.begin(), names.end(), node.text) == names.end())
    return failure("undeclared reference to '" + node.text + "' (in container '')");
  if (node.kind == Node::Kind::kCall && !is_known_function(node.text, node.method, node.parts.size()))
    return failure("the function " + node.text + "() is not part of the CEL that this server evaluates");
  const bool macro = node.kind == Node::Kind::kMacro;
  for (std::size_t i = 0; i < node.parts.size(); ++i) {
    if (macro && i > 0) names.push_back(node.variable);
    const Status good = check(*node.parts[i], names);
    if (macro && i > 0) names.pop_back();
    if (!good) return good;
  }
  return {};
}

bool mentions_name(const Node& node, std::string_view name) {
  if (node.kind == Node::Kind::kName && node.text == name) return true;
  return std::any_of(node.parts.begin(), node.parts.end(),
                     [&](const auto& part) { return mentions_name(*part, name); });
}

}  // namespace

Result<std::shared_ptr<const Program>> Program::compile(std::string_view text,
                                                        const std::vector<std::string>& names) {
  MUSTER_ASSIGN(auto root, parse(text));
  std::vector<std::string> known = names;
  MUSTER_TRY(check(*root, known));
  return std::shared_ptr<const Program>(new Program(std::move(root)));
}

Result<Json> Program::evaluate(const std::map<std::string, const Json*>& variables, Budget& budget) const {
  return Evaluator(variables, budget).run(*root_);
}

bool Program::mentions(std::string_view name) const { return mentions_name(*root_, name); }

}  // namespace muster::local::cel
