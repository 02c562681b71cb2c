// local/api/json_path.cc: the JSONPath dialect of Kubernetes, as far as printer columns use it
#include "local/api/json_path.h"

#include <algorithm>
#include <cstdlib>

#include "common/json/read_json.h"

namespace muster::local {
namespace {

constexpr int kFiltersMax = 8;              // within each other
constexpr std::size_t kVisitsMax = 100000;  // values looked at by one search; ".." after ".." multiplies them

// Splits ".a.b['c.d'].e" into names.
std::vector<std::string> plain_names(std::string_view path) {
  std::vector<std::string> names;
  std::string name;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '.') {
      if (!name.empty()) names.push_back(std::exchange(name, {}));
    } else if (path[i] == '[') {
      if (!name.empty()) names.push_back(std::exchange(name, {}));
      const auto close = path.find(']', i);
      if (close == std::string_view::npos) break;
      std::string_view inside = path.substr(i + 1, close - i - 1);
      if (inside.size() >= 2 && (inside.front() == '\'' || inside.front() == '"'))
        inside = inside.substr(1, inside.size() - 2);
      names.emplace_back(inside);
      i = close;
    } else if (path[i] == '\\' && i + 1 < path.size()) {
      name += path[++i];
    } else {
      name += path[i];
    }
  }
  if (!name.empty()) names.push_back(name);
  return names;
}

bool compare(const Json& left, const std::string& op, const Json& right) {
  if (op == "==") return left == right;
  if (op == "!=") return left != right;
  if (left.is_number() != right.is_number() || left.is_string() != right.is_string()) return false;
  if (op == "<") return left < right;
  if (op == "<=") return left <= right;
  if (op == ">") return right < left;
  return right <= left;
}

}  // namespace

const Json* find_path(const Json& object, std::string_view path) {
  const Json* at = &object;
  for (const std::string& name : plain_names(path)) {
    if (!at->is_object()) return nullptr;
    const auto it = at->find(name);
    if (it == at->end()) return nullptr;
    at = &*it;
  }
  return at;
}

void set_path(Json& object, std::string_view path, Json value) {
  const std::vector<std::string> names = plain_names(path);
  Json* at = &object;
  for (std::size_t i = 0; i + 1 < names.size(); ++i) {
    if (!at->is_object() || (value.is_null() && !at->contains(names[i]))) return;
    at = &(*at)[names[i]];
    if (at->is_null()) *at = Json::object();
  }
  if (names.empty() || !at->is_object()) return;
  if (value.is_null())
    at->erase(names.back());
  else
    (*at)[names.back()] = std::move(value);
}

Result<JsonPath> JsonPath::compile(std::string_view text) {
  if (text.size() > 2 && text.front() == '{' && text.back() == '}') text = text.substr(1, text.size() - 2);
  if (!text.empty() && text.front() == '$') text.remove_prefix(1);
  if (text.size() > 4096) return invalid_argument("a JSONPath may have 4096 characters at most");
  JsonPath path;
  MUSTER_ASSIGN(path.steps_, compile_steps(text, 0));
  if (!text.empty()) return invalid_argument("unexpected text in a JSONPath: " + std::string(text));
  return path;
}

Result<std::vector<JsonPath::Step>> JsonPath::compile_steps(std::string_view& text, int filters) {
  std::vector<Step> steps;
  while (!text.empty()) {
    if (text.front() == '[') {
      MUSTER_ASSIGN(Step step, compile_bracket(text, filters));
      steps.push_back(std::move(step));
      continue;
    }
    if (text.front() != '.') {
      if (filters > 0 || !steps.empty()) break;
    } else {
      text.remove_prefix(1);
      if (!text.empty() && text.front() == '.') {
        text.remove_prefix(1);
        Step step;
        step.kind = Step::Kind::kRecursive;
        steps.push_back(std::move(step));
      }
      if (!text.empty() && text.front() == '[') continue;
    }
    Step step;
    std::size_t i = 0;
    for (; i < text.size() && std::string_view(".[ =!<>)").find(text[i]) == std::string_view::npos; ++i) {
      if (text[i] == '\\' && i + 1 < text.size()) ++i;
      step.field += text[i];
    }
    text.remove_prefix(i);
    if (step.field == "*") step.kind = Step::Kind::kWildcard;
    if (step.field.empty()) {
      if (text.empty() && steps.empty()) break;
      return invalid_argument("a JSONPath needs a name after '.'");
    }
    steps.push_back(std::move(step));
  }
  return steps;
}

Result<JsonPath::Step> JsonPath::compile_bracket(std::string_view& text, int filters) {
  std::size_t close = 1;
  char quote = 0;
  int depth = 1;
  for (; close < text.size(); ++close) {
    const char c = text[close];
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '[') {
      ++depth;
    } else if (c == ']' && --depth == 0) {
      break;
    }
  }
  if (close >= text.size()) return invalid_argument("unterminated array in a JSONPath");
  std::string_view inside = text.substr(1, close - 1);
  text.remove_prefix(close + 1);
  Step step;
  if (inside == "*") {
    step.kind = Step::Kind::kWildcard;
    return step;
  }
  if (inside.size() >= 2 && (inside.front() == '\'' || inside.front() == '"')) {
    step.field = inside.substr(1, inside.size() - 2);
    return step;
  }
  if (inside.size() > 3 && inside.substr(0, 2) == "?(" && inside.back() == ')')
    return compile_filter(inside.substr(2, inside.size() - 3), filters + 1);
  const auto colon = inside.find(':');
  const auto number = [](std::string_view part) -> std::optional<long> {
    if (part.empty() || part.size() > 9) return std::nullopt;
    return std::strtol(std::string(part).c_str(), nullptr, 10);
  };
  if (inside.empty() || inside.find_first_not_of("-0123456789:") != std::string_view::npos)
    return invalid_argument("invalid array index in a JSONPath: " + std::string(inside));
  step.kind = colon == std::string_view::npos ? Step::Kind::kIndex : Step::Kind::kSlice;
  step.start = number(inside.substr(0, colon));
  if (colon != std::string_view::npos) step.end = number(inside.substr(colon + 1));
  return step;
}

Result<JsonPath::Step> JsonPath::compile_filter(std::string_view inside, int filters) {
  if (filters > kFiltersMax) return invalid_argument("the filters of a JSONPath are nested too deep");
  Step step;
  step.kind = Step::Kind::kFilter;
  const auto trim = [&inside] {
    while (!inside.empty() && inside.front() == ' ') inside.remove_prefix(1);
  };
  trim();
  if (inside.empty() || inside.front() != '@')
    return invalid_argument("a JSONPath filter must begin with '@'");
  inside.remove_prefix(1);
  MUSTER_ASSIGN(step.left, compile_steps(inside, filters));
  trim();
  if (inside.empty()) return step;
  for (const std::string_view op : {"==", "!=", "<=", ">=", "<", ">"})
    if (step.op.empty() && inside.substr(0, op.size()) == op) step.op = op;
  if (step.op.empty())
    return invalid_argument("unknown operator in a JSONPath filter: " + std::string(inside));
  inside.remove_prefix(step.op.size());
  trim();
  while (!inside.empty() && inside.back() == ' ') inside.remove_suffix(1);
  if (inside.size() >= 2 && (inside.front() == '"' || inside.front() == '\''))
    step.right = std::string(inside.substr(1, inside.size() - 2));
  else
    step.right = read_json(inside);
  if (step.right.is_discarded())
    return invalid_argument("bad value in a JSONPath filter: " + std::string(inside));
  return step;
}

bool JsonPath::accepts(const Step& filter, const Json& value, Search& search) {
  Search left{{}, search.visits};
  apply(filter.left, 0, value, left);
  search.visits = left.visits;
  const auto& found = left.found;
  if (filter.op.empty()) return !found.empty();
  return std::any_of(found.begin(), found.end(),
                     [&](const Json* each) { return compare(*each, filter.op, filter.right); });
}

void JsonPath::apply(const std::vector<Step>& steps, std::size_t at, const Json& value, Search& out) {
  if (++out.visits > kVisitsMax) return;
  if (at == steps.size()) {
    out.found.push_back(&value);
    return;
  }
  const Step& step = steps[at];
  const long size = static_cast<long>(value.is_array() ? value.size() : 0);
  const auto bound = [size](long index) { return std::clamp(index < 0 ? index + size : index, 0L, size); };
  switch (step.kind) {
    case Step::Kind::kField:
      if (value.is_object())
        if (const auto it = value.find(step.field); it != value.end()) apply(steps, at + 1, *it, out);
      break;
    case Step::Kind::kIndex: {
      const long index = step.start.value_or(0) < 0 ? step.start.value_or(0) + size : step.start.value_or(0);
      if (index >= 0 && index < size) apply(steps, at + 1, value[static_cast<std::size_t>(index)], out);
      break;
    }
    case Step::Kind::kSlice:
      for (long i = bound(step.start.value_or(0)); i < bound(step.end.value_or(size)); ++i)
        apply(steps, at + 1, value[static_cast<std::size_t>(i)], out);
      break;
    case Step::Kind::kWildcard:
    case Step::Kind::kFilter:
      if (!value.is_array() && !(value.is_object() && step.kind == Step::Kind::kWildcard)) break;
      for (const Json& member : value)
        if (step.kind == Step::Kind::kWildcard || accepts(step, member, out))
          apply(steps, at + 1, member, out);
      break;
    case Step::Kind::kRecursive:
      apply(steps, at + 1, value, out);
      if (value.is_structured())
        for (const Json& member : value) apply(steps, at, member, out);
      break;
  }
}

std::vector<const Json*> JsonPath::find(const Json& object) const {
  Search search;
  apply(steps_, 0, object, search);
  return std::move(search.found);
}

}  // namespace muster::local
