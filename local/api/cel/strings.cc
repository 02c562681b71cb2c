// local/api/cel/strings.cc: functions on strings and bytes
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "local/api/cel/functions.h"
#include "local/api/cel/times.h"

namespace muster::local::cel {
namespace {

using Runes = std::vector<std::string_view>;  // characters of a UTF-8 text

Runes runes_of(std::string_view text) {
  Runes runes;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t length = 1;
    while (i + length < text.size() && (text[i + length] & 0xC0) == 0x80) ++length;
    runes.push_back(text.substr(i, length));
    i += length;
  }
  return runes;
}

std::string joined(const Runes& runes, std::size_t from, std::size_t to) {
  std::string text;
  for (std::size_t i = from; i < to; ++i) text += runes[i];
  return text;
}

bool all_texts(const Arguments& a) {
  return std::all_of(a.begin(), a.end(), [](const Value& each) { return each.kind == Kind::kString; });
}

Error out_of_range(std::int64_t index) {
  return invalid_argument(fmt::format("index out of range: {}", index));
}

template <typename Test>
Result<Value> test(const Arguments& a, Test test) {
  if (!all_texts(a)) return no_overload();
  return Value::of_bool(test(a[0].text(), a[1].text()));
}

Result<std::shared_ptr<const re2::RE2>> pattern_of(const Value& text) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);  // a short expression can be a large program
  auto pattern =
      std::make_shared<const re2::RE2>(re2::StringPiece(text.text().data(), text.text().size()), options);
  if (!pattern->ok()) return invalid_argument("error parsing regexp: " + pattern->error());
  return std::shared_ptr<const re2::RE2>(std::move(pattern));
}

re2::StringPiece piece_of(std::string_view text) { return {text.data(), text.size()}; }

Result<Value> matches(const Arguments& a) {
  if (!all_texts(a)) return no_overload();
  MUSTER_ASSIGN(const auto pattern, pattern_of(a[1]));
  return Value::of_bool(re2::RE2::PartialMatch(piece_of(a[0].text()), *pattern));
}

Result<Value> find_all(const Arguments& a, bool first) {
  if (a[0].kind != Kind::kString || a[1].kind != Kind::kString) return no_overload();
  MUSTER_ASSIGN(const auto pattern, pattern_of(a[1]));
  const std::int64_t limit = first ? 1 : a.size() > 2 ? a[2].number : -1;
  const re2::StringPiece text = piece_of(a[0].text());
  std::vector<Value> found;
  std::size_t at = 0;
  re2::StringPiece match;
  while ((limit < 0 || static_cast<std::int64_t>(found.size()) < limit) && at <= text.size() &&
         pattern->Match(text, at, text.size(), re2::RE2::UNANCHORED, &match, 1)) {
    found.push_back(Value::of_text(std::string(match.data(), match.size())));
    at = static_cast<std::size_t>(match.data() - text.data()) + std::max<std::size_t>(1, match.size());
  }
  if (first) return found.empty() ? Value::of_text("") : found[0];
  return Value::of_list(std::move(found));
}

std::string double_text(double value) {
  if (std::abs(value) < 1e15 && value == static_cast<double>(static_cast<std::int64_t>(value)))
    return fmt::format("{}", static_cast<std::int64_t>(value));
  return fmt::format("{}", value);
}

Result<Value> to_string(const Arguments& a) {
  switch (a[0].kind) {
    case Kind::kString: return a[0];
    case Kind::kBytes: return Value::of_text(std::string(a[0].text()));
    case Kind::kBool: return Value::of_text(a[0].is_true() ? "true" : "false");
    case Kind::kInt: return Value::of_text(std::to_string(a[0].number));
    case Kind::kUint: return Value::of_text(std::to_string(a[0].uint()));
    case Kind::kDouble: return Value::of_text(double_text(a[0].real));
    case Kind::kDuration: return Value::of_text(duration_text(a[0].number));
    case Kind::kTimestamp: return Value::of_text(timestamp_text(a[0]));
    case Kind::kIp:
    case Kind::kCidr: return address_functions().at("string")(a);
    default: return no_overload();
  }
}

Result<Value> char_at(const Arguments& a) {
  if (a[0].kind != Kind::kString || a[1].kind != Kind::kInt) return no_overload();
  const Runes runes = runes_of(a[0].text());
  const auto size = static_cast<std::int64_t>(runes.size());
  if (a[1].number < 0 || a[1].number > size) return out_of_range(a[1].number);
  if (a[1].number == size) return Value::of_text("");
  return Value::of_text(std::string(runes[static_cast<std::size_t>(a[1].number)]));
}

Result<Value> substring(const Arguments& a) {
  if (a[0].kind != Kind::kString) return no_overload();
  const Runes runes = runes_of(a[0].text());
  const auto size = static_cast<std::int64_t>(runes.size());
  const std::int64_t from = a[1].number, to = a.size() > 2 ? a[2].number : size;
  if (from < 0 || from > size) return out_of_range(from);
  if (to < 0 || to > size) return out_of_range(to);
  if (from > to)
    return invalid_argument(fmt::format("invalid substring range. start: {}, end: {}", from, to));
  return Value::of_text(joined(runes, static_cast<std::size_t>(from), static_cast<std::size_t>(to)));
}

bool stands_at(const Runes& runes, const Runes& wanted, std::size_t at) {
  return at + wanted.size() <= runes.size() &&
         std::equal(wanted.begin(), wanted.end(), runes.begin() + static_cast<std::ptrdiff_t>(at));
}

Result<Value> index_of(const Arguments& a, bool last) {
  if (a[0].kind == Kind::kList) return list_functions().at(last ? "lastIndexOf" : "indexOf")(a);
  if (a[0].kind != Kind::kString || a[1].kind != Kind::kString) return no_overload();
  const Runes runes = runes_of(a[0].text()), wanted = runes_of(a[1].text());
  const auto size = static_cast<std::int64_t>(runes.size());
  std::int64_t at = a.size() > 2 ? a[2].number : last ? size : 0;
  if (at < 0 || at > size) return out_of_range(at);
  for (; at >= 0 && at <= size; at += last ? -1 : 1)
    if (stands_at(runes, wanted, static_cast<std::size_t>(at))) return Value::of_int(at);
  return Value::of_int(-1);
}

Result<Value> replace(const Arguments& a) {
  if (a[0].kind != Kind::kString || a[1].kind != Kind::kString || a[2].kind != Kind::kString)
    return no_overload();
  const std::string_view text = a[0].text(), from = a[1].text(), to = a[2].text();
  std::int64_t left = a.size() > 3 ? a[3].number : -1;
  std::string out;
  std::size_t at = 0;
  while (left != 0 && at <= text.size()) {
    const auto found = text.find(from, at);
    if (found == std::string_view::npos) break;
    out += text.substr(at, found - at);
    out += to;
    at = found + from.size();
    if (from.empty()) {
      if (at < text.size()) out += text[at];
      ++at;
    }
    --left;
    if (out.size() > kTextMax) return invalid_argument("a string gets too long");
  }
  if (at < text.size()) out += text.substr(at);
  return Value::of_text(std::move(out));
}

Result<Value> split(const Arguments& a) {
  if (a[0].kind != Kind::kString || a[1].kind != Kind::kString) return no_overload();
  const std::string_view text = a[0].text(), by = a[1].text();
  const std::int64_t limit = a.size() > 2 ? a[2].number : -1;
  std::vector<Value> parts;
  if (limit == 0) return Value::of_list({});
  if (by.empty()) {
    const Runes runes = runes_of(text);
    for (std::size_t i = 0; i < runes.size(); ++i) {
      const bool rest = limit > 0 && static_cast<std::int64_t>(i) + 1 == limit;
      parts.push_back(Value::of_text(rest ? joined(runes, i, runes.size()) : std::string(runes[i])));
      if (rest) break;
    }
    return Value::of_list(std::move(parts));
  }
  std::size_t at = 0;
  while (true) {
    const bool rest = limit > 0 && static_cast<std::int64_t>(parts.size()) + 1 == limit;
    const auto found = rest ? std::string_view::npos : text.find(by, at);
    parts.push_back(
        Value::of_text(std::string(text.substr(at, found == std::string_view::npos ? found : found - at))));
    if (found == std::string_view::npos) return Value::of_list(std::move(parts));
    at = found + by.size();
  }
}

Result<Value> join(const Arguments& a) {
  std::string out;
  for (std::size_t i = 0; i < a[0].size(); ++i) {
    MUSTER_ASSIGN(const Value item, a[0].item(i));
    if (item.kind != Kind::kString) return no_overload();
    if (i > 0 && a.size() > 1) out += a[1].text();
    out += item.text();
    if (out.size() > kTextMax) return invalid_argument("a string gets too long");
  }
  return Value::of_text(std::move(out));
}

Result<Value> changed_case(const Arguments& a, bool upper) {
  if (!all_texts(a)) return no_overload();
  std::string out(a[0].text());
  for (char& c : out) {
    if (upper && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!upper && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return Value::of_text(std::move(out));
}

Result<Value> trim(const Arguments& a) {
  if (!all_texts(a)) return no_overload();
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  std::string_view text = a[0].text();
  const auto start = text.find_first_not_of(kSpace);
  if (start == std::string_view::npos) return Value::of_text("");
  return Value::of_text(std::string(text.substr(start, text.find_last_not_of(kSpace) - start + 1)));
}

Result<Value> quote(const Arguments& a) {
  if (!all_texts(a)) return no_overload();
  return Value::of_text(go_quote(a[0].text()));
}

// One clause of format(): what follows the "%".
Result<std::string> clause(char letter, int precision, const Value& value) {
  const double real = value.is_number() ? value.as_double() : 0;
  switch (letter) {
    case 'd':
      if (value.kind == Kind::kInt) return std::to_string(value.number);
      if (value.kind == Kind::kUint) return std::to_string(value.uint());
      break;
    case 'f':
      if (value.is_number()) return fmt::format("{:.{}f}", real, precision < 0 ? 6 : precision);
      break;
    case 'e':
      if (value.is_number()) return fmt::format("{:.{}e}", real, precision < 0 ? 6 : precision);
      break;
    case 'b':
      if (value.kind == Kind::kInt || value.kind == Kind::kBool) return fmt::format("{:b}", value.number);
      break;
    case 'x':
      if (value.kind == Kind::kInt) return fmt::format("{:x}", value.number);
      break;
    case 'X':
      if (value.kind == Kind::kInt) return fmt::format("{:X}", value.number);
      break;
    case 'o':
      if (value.kind == Kind::kInt) return fmt::format("{:o}", value.number);
      break;
    default: break;
  }
  return invalid_argument(
      fmt::format("error during formatting: {} clause cannot take a {}", letter, type_name(value)));
}

Result<std::string> shown(const Value& value, int depth) {
  if (value.kind == Kind::kNull) return std::string("null");
  if (value.kind != Kind::kList && value.kind != Kind::kMap) {
    MUSTER_ASSIGN(const Value text, to_string({value}));
    return std::string(text.text());
  }
  if (depth > 32) return invalid_argument("a value is nested too deep to be shown");
  std::string out;
  if (value.kind == Kind::kList) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      MUSTER_ASSIGN(const Value item, value.item(i));
      MUSTER_ASSIGN(const std::string text, shown(item, depth + 1));
      out += (i > 0 ? ", " : "") + text;
    }
    return "[" + out + "]";
  }
  for (const Value& key : value.keys()) {
    MUSTER_ASSIGN(const auto member, value.find(key));
    MUSTER_ASSIGN(const std::string name, shown(key, depth + 1));
    MUSTER_ASSIGN(const std::string text, shown(member.value_or(Value()), depth + 1));
    out += (out.empty() ? "" : ", ") + name + ": " + text;
  }
  return "{" + out + "}";
}

Result<Value> format(const Arguments& a) {
  const std::string_view text = a[0].text();
  std::string out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (++i >= text.size()) return invalid_argument("unexpected end of format string");
    if (text[i] == '%') {
      out += '%';
      continue;
    }
    int precision = -1;
    if (text[i] == '.') {
      precision = 0;
      for (++i; i < text.size() && text[i] >= '0' && text[i] <= '9' && precision < 100; ++i)
        precision = precision * 10 + (text[i] - '0');
    }
    if (i >= text.size()) return invalid_argument("unexpected end of format string");
    if (next >= a[1].size()) return invalid_argument(fmt::format("index {} out of range", next));
    MUSTER_ASSIGN(const Value value, a[1].item(next++));
    MUSTER_ASSIGN(const std::string part,
                  text[i] == 's' ? shown(value, 0) : clause(text[i], precision, value));
    out += part;
    if (out.size() > kTextMax) return invalid_argument("a string gets too long");
  }
  return Value::of_text(std::move(out));
}

}  // namespace

const FunctionTable& text_functions() {
  static const FunctionTable kTable = {
      {"string", to_string},
      {"matches", matches},
      {"find", [](const Arguments& a) { return find_all(a, true); }},
      {"findAll", [](const Arguments& a) { return find_all(a, false); }},
      {"startsWith",
       [](const Arguments& a) {
         return test(a, [](std::string_view x, std::string_view y) { return x.substr(0, y.size()) == y; });
       }},
      {"endsWith",
       [](const Arguments& a) {
         return test(a, [](std::string_view x, std::string_view y) {
           return x.size() >= y.size() && x.substr(x.size() - y.size()) == y;
         });
       }},
      {"contains",
       [](const Arguments& a) {
         return test(
             a, [](std::string_view x, std::string_view y) { return x.find(y) != std::string_view::npos; });
       }},
      {"charAt", char_at},
      {"substring", substring},
      {"indexOf", [](const Arguments& a) { return index_of(a, false); }},
      {"lastIndexOf", [](const Arguments& a) { return index_of(a, true); }},
      {"replace", replace},
      {"split", split},
      {"join", join},
      {"lowerAscii", [](const Arguments& a) { return changed_case(a, false); }},
      {"upperAscii", [](const Arguments& a) { return changed_case(a, true); }},
      {"trim", trim},
      {"strings.quote", quote},
      {"format", format},
  };
  return kTable;
}

}  // namespace muster::local::cel
