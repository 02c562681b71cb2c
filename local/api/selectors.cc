// local/api/selectors.cc: parses and judges selectors
#include "local/api/selectors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "local/api/formats.h"
#include "local/api/json_path.h"

namespace muster::local {
namespace {

using Op = LabelRequirement::Operator;

struct Token {
  std::string text;
  bool identifier = false;  // also a value
  bool end = false;
};

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
          fmt::format("key: Invalid value: {}: {}", go_quote(requirement.key), fmt::join(wrong, "; ")));
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

  ApiResult<LabelRequirement> parse_values(LabelRequirement requirement) {
    if (token_.text != "(" || token_.identifier)
      return ApiError::bad_request(fmt::format("found '{}' expected: '('", token_.text));
    advance();
    bool expect_value = true;
    while (!token_.end) {
      if (token_.identifier && expect_value) {
        requirement.values.push_back(token_.text);
        expect_value = false;
      } else if (token_.text == "," && !token_.identifier) {
        if (expect_value) requirement.values.emplace_back();
        expect_value = true;
      } else if (token_.text == ")" && !token_.identifier) {
        if (expect_value) requirement.values.emplace_back();
        advance();
        return check(std::move(requirement));
      } else {
        return ApiError::bad_request(fmt::format("found '{}', expected: ',', or identifier", token_.text));
      }
      advance();
    }
    return ApiError::bad_request("found '', expected: ',' or ')'");
  }

  static ApiResult<LabelRequirement> check(LabelRequirement requirement) {
    for (std::size_t i = 0; i < requirement.values.size(); ++i) {
      const auto wrong = check_label_value(requirement.values[i]);
      if (!wrong.empty())
        return ApiError::bad_request(fmt::format("values[{}][{}]: Invalid value: {}: {}", i, requirement.key,
                                                 go_quote(requirement.values[i]), wrong.front()));
    }
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
  char* end_a = nullptr;
  char* end_b = nullptr;
  const long long x = std::strtoll(a.c_str(), &end_a, 10);
  const long long y = std::strtoll(b.c_str(), &end_b, 10);
  if (a.empty() || b.empty() || *end_a != '\0' || *end_b != '\0') return false;
  return greater ? x > y : x < y;
}

ApiResult<std::vector<FieldRequirement>> parse_fields(std::string_view text) {
  std::vector<FieldRequirement> requirements;
  while (!text.empty()) {
    std::string term;  // up to an unescaped comma
    std::size_t i = 0;
    for (; i < text.size() && text[i] != ','; ++i) {
      if (text[i] == '\\' && i + 1 < text.size()) term += text[i++];
      term += text[i];
    }
    text.remove_prefix(std::min(text.size(), i + 1));
    if (term.empty()) continue;
    const auto equals = term.find('=');
    if (equals == std::string::npos || equals == 0)
      return ApiError::bad_request(fmt::format("invalid selector: '{}'; can't understand '{}'", term, term));
    FieldRequirement requirement;
    requirement.equal = term[equals - 1] != '!';
    requirement.field = term.substr(0, requirement.equal ? equals : equals - 1);
    std::string value = term.substr(equals + (equals + 1 < term.size() && term[equals + 1] == '=' ? 2 : 1));
    for (std::size_t k = 0; k < value.size(); ++k) {
      if (value[k] == '\\' && k + 1 < value.size()) ++k;
      requirement.value += value[k];
    }
    requirements.push_back(std::move(requirement));
  }
  return requirements;
}

std::string field_text(const Json& object, const std::string& field) {
  std::string path = "." + field;
  if (field == "source") path = ".source.component";
  const Json* value = find_path(object, path);
  if (value == nullptr || value->is_null())
    return field == "spec.unschedulable" || field == "spec.hostNetwork" ? "false" : "";
  return value->is_string() ? value->get<std::string>() : value->dump();
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
  for (const FieldRequirement& requirement : *parsed_fields) {
    if (requirement.field == "metadata.name" || requirement.field == "metadata.namespace") continue;
    selector.reads_json_ = true;
    const auto& known = kind.selectable_fields;
    if (std::find(known.begin(), known.end(), "." + requirement.field) == known.end()) {
      if (kind.custom || !known.empty())
        return ApiError::bad_request("field label not supported: " + requirement.field);
      return ApiError::bad_request(
          fmt::format("{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                      go_quote(requirement.field)));
    }
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
