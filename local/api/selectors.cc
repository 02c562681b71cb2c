// local/api/selectors.cc: parses and judges selectors
#include "local/api/selectors.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include "local/api/conversion.h"
#include "local/api/formats.h"
#include "local/api/json_path.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

using Op = LabelRequirement::Operator;

struct Token {
  std::string text;
  bool identifier = false;  // also a value
  bool end = false;
};

std::optional<std::int64_t> integer(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

class LabelParser {
 public:
  explicit LabelParser(std::string_view text) : text_(text) { advance(); }

  ApiResult<std::vector<LabelRequirement>> parse() {
    std::vector<LabelRequirement> requirements;
    while (true) {
      if (token_.end) return requirements;
      if (!token_.identifier && token_.text != "!")
        return ApiError::bad_request(
            fmt::format("found '{}', expected: !, identifier, or 'end of string'", token_.text));
      auto requirement = parse_one();
      if (!requirement)
        return ApiError::bad_request("unable to parse requirement: " + requirement.error().message);
      requirements.push_back(std::move(*requirement));
      if (token_.end) return requirements;
      if (token_.text != ",")
        return ApiError::bad_request(
            fmt::format("found '{}', expected: ',' or 'end of string'", token_.text));
      advance();
      if (token_.end || (!token_.identifier && token_.text != "!"))
        return ApiError::bad_request(fmt::format("found '{}', expected: identifier after ','", token_.text));
    }
  }

 private:
  void advance() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
      ++at_;
    token_ = Token{};
    if (at_ == text_.size()) {
      token_.end = true;
      return;
    }
    for (const std::string_view symbol : {"==", "!=", "=", "!", "(", ")", ",", ">", "<"})
      if (text_.substr(at_, symbol.size()) == symbol) {
        token_.text = symbol;
        at_ += symbol.size();
        return;
      }
    const std::size_t start = at_;
    while (at_ < text_.size() &&
           std::string_view(" \t\n\r=!(),><").find(text_[at_]) == std::string_view::npos)
      ++at_;
    token_.text = text_.substr(start, at_ - start);
    token_.identifier = true;
  }

  ApiResult<LabelRequirement> parse_one() {
    LabelRequirement requirement;
    const bool negated = token_.text == "!" && !token_.identifier;
    if (negated) {
      advance();
      if (!token_.identifier)
        return ApiError::bad_request(fmt::format("found '{}', expected: identifier", token_.text));
    }
    requirement.key = token_.text;
    const auto wrong = check_qualified_name(requirement.key);
    if (!wrong.empty())
      return ApiError::bad_request(
          fmt::format("<nil>: Invalid value: {}: {}", go_quote(requirement.key), fmt::join(wrong, "; ")));
    advance();
    if (negated) {
      requirement.op = Op::kDoesNotExist;
      return requirement;
    }
    if (token_.end || (!token_.identifier && token_.text == ",")) return requirement;
    return parse_operator(std::move(requirement));
  }

  ApiResult<LabelRequirement> parse_operator(LabelRequirement requirement) {
    const std::string op = token_.text;
    if (op == "in" || op == "notin") {
      requirement.op = op == "in" ? Op::kIn : Op::kNotIn;
      advance();
      return parse_values(std::move(requirement));
    }
    if (token_.identifier || op == "(" || op == ")" || op == "!")
      return ApiError::bad_request(fmt::format("found '{}', expected: in, notin, =, ==, !=, gt, lt", op));
    requirement.op = op == "!="  ? Op::kNotIn
                     : op == ">" ? Op::kGreaterThan
                     : op == "<" ? Op::kLessThan
                                 : Op::kIn;
    advance();
    if (token_.identifier) {
      requirement.values.push_back(token_.text);
      advance();
    } else if (token_.end || token_.text == ",") {
      requirement.values.emplace_back();
    } else {
      return ApiError::bad_request(fmt::format("found '{}', expected: identifier", token_.text));
    }
    return check(std::move(requirement));
  }

  [[nodiscard]] bool at(const char* symbol) const { return !token_.identifier && token_.text == symbol; }

  ApiResult<LabelRequirement> parse_values(LabelRequirement requirement) {
    if (!at("(")) return unexpected(" expected: '('");
    advance();
    if (!token_.identifier && !at(",") && !at(")")) return unexpected(", expected: ',', ')' or identifier");
    while (!at(")")) {
      if (token_.identifier) {
        requirement.values.push_back(token_.text);
        advance();
        if (!at(",") && !at(")")) return unexpected(", expected: ',' or ')'");
      } else if (at(",")) {
        if (requirement.values.empty()) requirement.values.emplace_back();
        advance();
        if (at(",") || at(")")) requirement.values.emplace_back();
        if (at(",")) advance();
      } else {
        return unexpected(", expected: ',', or identifier");
      }
    }
    advance();
    if (requirement.values.empty()) requirement.values.emplace_back();
    std::sort(requirement.values.begin(), requirement.values.end());
    requirement.values.erase(std::unique(requirement.values.begin(), requirement.values.end()),
                             requirement.values.end());
    return check(std::move(requirement));
  }

  [[nodiscard]] ApiError unexpected(const char* expected) const {
    return ApiError::bad_request(fmt::format("found '{}'{}", token_.text, expected));
  }

  static ApiResult<LabelRequirement> check(LabelRequirement requirement) {
    std::vector<std::string> wrong;
    const auto refuse = [&](std::size_t i, const std::string& key, const std::string& why) {
      wrong.push_back(
          fmt::format("values[{}]{}: Invalid value: {}: {}", i, key, go_quote(requirement.values[i]), why));
    };
    const bool compares = requirement.op == Op::kGreaterThan || requirement.op == Op::kLessThan;
    for (std::size_t i = 0; i < requirement.values.size() && compares; ++i)
      if (!integer(requirement.values[i]))
        refuse(i, "", "for 'Gt', 'Lt' operators, the value must be an integer");
    for (std::size_t i = 0; i < requirement.values.size(); ++i)
      if (const auto bad = check_label_value(requirement.values[i]); !bad.empty())
        refuse(i, "[" + requirement.key + "]", fmt::format("{}", fmt::join(bad, "; ")));
    if (wrong.size() > 1) return ApiError::bad_request(fmt::format("[{}]", fmt::join(wrong, ", ")));
    if (!wrong.empty()) return ApiError::bad_request(wrong.front());
    return requirement;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  Token token_;
};

const std::string* find_label(const std::vector<std::pair<std::string, std::string>>& labels,
                              const std::string& key) {
  const auto it =
      std::lower_bound(labels.begin(), labels.end(), key,
                       [](const auto& label, const std::string& wanted) { return label.first < wanted; });
  return it != labels.end() && it->first == key ? &it->second : nullptr;
}

bool compare(const std::string& a, const std::string& b, bool greater) {
  const auto x = integer(a), y = integer(b);
  return x && y && (greater ? *x > *y : *x < *y);
}

// Terms are cut at commas that no backslash protects, and judged in sorted order.
std::vector<std::string> split_terms(std::string_view text) {
  std::vector<std::string> terms(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',') {
      terms.emplace_back();
      continue;
    }
    terms.back() += text[i];
    if (text[i] == '\\' && i + 1 < text.size()) terms.back() += text[++i];
  }
  std::sort(terms.begin(), terms.end());
  return terms;
}

ApiResult<std::string> unescape(std::string_view value) {
  std::string plain;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (c == ',' || c == '=')
      return ApiError::bad_request(
          fmt::format("invalid field selector: unescaped character in value: {}", static_cast<int>(c)));
    if (c == '\\') {
      if (i + 1 == value.size() || std::string_view("\\,=").find(value[i + 1]) == std::string_view::npos)
        return ApiError::bad_request(
            fmt::format("invalid field selector: invalid escape sequence: {}", value.substr(i, 2)));
      ++i;
    }
    plain += value[i];
  }
  return plain;
}

ApiResult<std::vector<FieldRequirement>> parse_fields(std::string_view text) {
  std::vector<FieldRequirement> requirements;
  for (const std::string& term : split_terms(text)) {
    if (term.empty()) continue;
    std::size_t at = 0;
    while (at < term.size() && term[at] != '=' && term.compare(at, 2, "!=") != 0) ++at;
    if (at == term.size())
      return ApiError::bad_request(fmt::format("invalid selector: '{}'; can't understand '{}'", text, term));
    FieldRequirement requirement;
    requirement.equal = term[at] == '=';
    requirement.field = term.substr(0, at);
    const bool two = !requirement.equal || term.compare(at, 2, "==") == 0;
    auto value = unescape(std::string_view(term).substr(at + (two ? 2 : 1)));
    if (!value) return value.error();
    requirement.value = std::move(*value);
    requirements.push_back(std::move(requirement));
  }
  return requirements;
}

// Fields that are not called as in the object, or that have a value when they are not there.
struct FieldRule {
  const char* field;
  const char* path;
  const char* absent;
};
constexpr FieldRule kFieldRules[] = {
    {"spec.unschedulable", ".spec.unschedulable", "false"},
    {"spec.hostNetwork", ".spec.hostNetwork", "false"},
    {"status.replicas", ".status.replicas", "0"},
    {"status.successful", ".status.succeeded", "0"},
};

std::string field_text(const Json& object, const std::string& field) {
  if (field == "source") {
    const std::string component = text_at(object_of(object, "source"), "component");
    return component.empty() ? text_at(object, "reportingComponent") : component;
  }
  std::string path = "." + field;
  std::string absent;
  for (const FieldRule& rule : kFieldRules)
    if (field == rule.field) {
      path = rule.path;
      absent = rule.absent;
    }
  const Json* value = find_path(object, path);
  if (value == nullptr || value->is_null()) return absent;
  return value->is_string() ? value->get<std::string>() : value->dump();
}

std::string unknown_field(const Kind& kind, const std::string& field) {
  if (kind.resource() == "jobs.batch")
    return fmt::format("field label {} not supported for batchv1.Job", go_quote(field));
  if (kind.custom || !kind.selectable_fields.empty()) return "field label not supported: " + field;
  return fmt::format("{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                     go_quote(field));
}

}  // namespace

ApiResult<std::vector<LabelRequirement>> parse_label_selector(std::string_view text) {
  return LabelParser(text).parse();
}

bool matches(const std::vector<LabelRequirement>& requirements,
             const std::vector<std::pair<std::string, std::string>>& labels) {
  return std::all_of(requirements.begin(), requirements.end(), [&](const LabelRequirement& requirement) {
    const std::string* value = find_label(labels, requirement.key);
    const auto listed = [&] {
      return std::find(requirement.values.begin(), requirement.values.end(), *value) !=
             requirement.values.end();
    };
    switch (requirement.op) {
      case Op::kIn: return value != nullptr && listed();
      case Op::kNotIn: return value == nullptr || !listed();
      case Op::kExists: return value != nullptr;
      case Op::kDoesNotExist: return value == nullptr;
      case Op::kGreaterThan: return value != nullptr && compare(*value, requirement.values[0], true);
      case Op::kLessThan: return value != nullptr && compare(*value, requirement.values[0], false);
    }
    return false;
  });
}

ApiResult<Selector> Selector::parse(std::string_view labels, std::string_view fields, const Kind& kind) {
  Selector selector;
  auto parsed_labels = parse_label_selector(labels);
  if (!parsed_labels) return parsed_labels.error();
  selector.labels_ = std::move(*parsed_labels);
  auto parsed_fields = parse_fields(fields);
  if (!parsed_fields) return parsed_fields.error();
  for (FieldRequirement& requirement : *parsed_fields) {
    if (requirement.field == "metadata.name" || requirement.field == "metadata.namespace") continue;
    selector.reads_json_ = true;
    const auto& known = kind.selectable_fields;
    if (std::find(known.begin(), known.end(), "." + requirement.field) == known.end())
      return ApiError::bad_request(unknown_field(kind, requirement.field));
    requirement.field = stored_field(kind, requirement.field);
  }
  selector.fields_ = std::move(*parsed_fields);
  return selector;
}

bool Selector::matches(const StoredObject& object) const {
  if (!local::matches(labels_, object.labels)) return false;
  Json json;
  if (reads_json_) json = object.json();
  return std::all_of(fields_.begin(), fields_.end(), [&](const FieldRequirement& requirement) {
    std::string value = requirement.field == "metadata.name"        ? object.name
                        : requirement.field == "metadata.namespace" ? object.ns
                                                                    : field_text(json, requirement.field);
    return (value == requirement.value) == requirement.equal;
  });
}

std::string Selector::name() const {
  for (const FieldRequirement& requirement : fields_)
    if (requirement.field == "metadata.name" && requirement.equal) return requirement.value;
  return {};
}

}  // namespace muster::local
