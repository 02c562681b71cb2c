// common/yaml/yaml.cc: YAML <-> JSON as Kubernetes reads and writes it
#include "common/yaml/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/emitterstyle.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "common/json/read_json.h"

namespace muster {
namespace {

// An alias bomb stops here: so many values for each byte of the text, and some for small ones.
constexpr std::size_t kValuesPerByte = 10, kValuesFree = 1000;
constexpr int kDepthMax = 200;

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    if (text == word) return true;
  }
  return false;
}

template <typename T>
std::optional<T> number(std::string_view text, int base) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Json> as_integer(std::string_view text) {
  const bool negative = text.starts_with('-');
  std::string_view digits = text;
  if (negative || text.starts_with('+')) digits.remove_prefix(1);
  if (digits.empty() || digits.front() < '0' || digits.front() > '9') return std::nullopt;
  int base = 10;
  if (digits.starts_with("0x")) base = 16;
  if (digits.starts_with("0o")) base = 8;
  if (base != 10) {
    digits.remove_prefix(2);
  } else if (digits.size() > 1 && digits.front() == '0') {
    base = 8;  // YAML 1.1, as Kubernetes reads it: defaultMode: 0644
  }
  const auto magnitude = number<std::uint64_t>(digits, base);
  if (!magnitude) return std::nullopt;
  if (!negative) {
    if (*magnitude <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return Json(static_cast<std::int64_t>(*magnitude));
    }
    return Json(*magnitude);
  }
  if (*magnitude > (std::uint64_t{1} << 63U)) return std::nullopt;
  return Json(static_cast<std::int64_t>(~*magnitude + 1));
}

std::optional<Json> as_real(std::string_view text) {
  const std::string_view body = text.starts_with('-') || text.starts_with('+') ? text.substr(1) : text;
  if (body.empty() || body.find_first_not_of("0123456789.eE+-") != std::string_view::npos)
    return std::nullopt;
  if (body.find_first_of("0123456789") == std::string_view::npos) return std::nullopt;
  if (body.front() == 'e' || body.front() == 'E') return std::nullopt;
  const std::string copy(text);
  char* end = nullptr;
  const double value = std::strtod(copy.c_str(), &end);
  if (end != copy.c_str() + copy.size() || !std::isfinite(value)) return std::nullopt;
  return Json(value);
}

// The meaning of a plain (unquoted, untagged) scalar.
Json plain_scalar(const std::string& text) {
  if (text.empty() || one_of(text, {"~", "null", "Null", "NULL"})) return nullptr;
  if (one_of(text, {"true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})) return true;
  if (one_of(text, {"false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"}))
    return false;
  std::string digits = text;
  if (std::string_view("0123456789+-").find(text.front()) != std::string_view::npos)
    std::erase(digits, '_');  // YAML 1.1: 1_000_000
  if (auto integer = as_integer(digits)) return *integer;
  if (auto real = as_real(digits)) return *real;
  return text;
}

class Converter {
 public:
  Converter(const std::string& file, std::size_t values_max, YamlDocument& document)
      : file_(file), values_max_(values_max), document_(document) {}

  Result<Json> convert(const YAML::Node& node, const std::string& path, int depth) {
    if (++values_ > values_max_)
      return error(node, fmt::format("its aliases expand to more than {} values", values_max_));
    if (depth > kDepthMax) return error(node, "nested too deeply");
    if (!path.empty()) document_.lines.try_emplace(path, node.Mark().line + 1);
    switch (node.Type()) {
      case YAML::NodeType::Scalar: return scalar(node);
      case YAML::NodeType::Sequence: return sequence(node, path, depth);
      case YAML::NodeType::Map: return map(node, path, depth);
      default: return Json(nullptr);
    }
  }

  [[nodiscard]] Error error(const YAML::Node& node, const std::string& what) const {
    const YAML::Mark mark = node.Mark();
    return invalid_argument(fmt::format("{}:{}:{}: {}", file_, mark.line + 1, mark.column + 1, what));
  }

 private:
  Result<Json> scalar(const YAML::Node& node) const {
    const std::string& tag = node.Tag();
    const std::string& text = node.Scalar();
    if (tag == "!" || tag == "tag:yaml.org,2002:str") return Json(text);
    if (tag.empty() || tag == "?") return plain_scalar(text);
    if (one_of(tag, {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool",
                     "tag:yaml.org,2002:null"})) {
      return plain_scalar(text);
    }
    return error(node, fmt::format("tag '{}' has no meaning in a manifest; remove it", tag));
  }

  Result<Json> sequence(const YAML::Node& node, const std::string& path, int depth) {
    Json out = Json::array();
    for (std::size_t i = 0; i < node.size(); ++i) {
      MUSTER_ASSIGN(Json value, convert(node[i], fmt::format("{}[{}]", path, i), depth + 1));
      out.push_back(std::move(value));
    }
    return out;
  }

  Result<Json> map(const YAML::Node& node, const std::string& path, int depth) {
    Json out = Json::object();
    Json merged = Json::object();
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) return error(entry.first, "a key must be plain text");
      const std::string& key = entry.first.Scalar();
      const std::string at = path.empty() ? key : fmt::format("{}.{}", path, key);
      document_.lines.try_emplace(at, entry.first.Mark().line + 1);
      MUSTER_ASSIGN(Json value, convert(entry.second, at, depth + 1));
      if (key == "<<" && entry.first.Tag() != "!") {
        MUSTER_TRY(merge(entry.second, std::move(value), merged));
        continue;
      }
      if (!out.emplace(key, std::move(value)).second) {
        return error(entry.first, fmt::format("key '{}' appears twice; remove one of them", at));
      }
    }
    for (auto& [key, value] : merged.items()) out.emplace(key, value);
    return out;
  }

  Status merge(const YAML::Node& node, Json value, Json& into) const {
    if (value.is_object()) value = Json::array({std::move(value)});
    for (const Json& part : value) {
      if (!part.is_object()) return error(node, "'<<' needs a map or a list of maps");
      for (const auto& [key, member] : part.items()) into.emplace(key, member);
    }
    return {};
  }

  const std::string& file_;
  const std::size_t values_max_;
  YamlDocument& document_;
  std::size_t values_ = 0;
};

// The bytes of the character at the front of `text`, if it may not stand there as it is: DEL and C1, which
// YAML does not take and a terminal obeys, the byte order mark, and what ends a line for readers of YAML 1.1
// (with NEL of C1), so that the rest of the text would be read as fields. 0: it may.
std::size_t special_bytes(std::string_view text) {
  if (text.starts_with('\x7f')) return 1;
  if (text.size() >= 2 && text[0] == '\xC2' && static_cast<unsigned char>(text[1]) <= 0x9f) return 2;
  for (const std::string_view special : {"\u2028", "\u2029", "\ufeff"})
    if (text.starts_with(special)) return special.size();
  return 0;
}

bool is_clean(std::string_view text, bool of_several_lines) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool control = static_cast<unsigned char>(text[at]) < 0x20;
    if ((control && !(of_several_lines && text[at] == '\n')) || special_bytes(text.substr(at)) > 0)
      return false;
  }
  return true;
}

// What is text here and a number for readers of YAML 1.1: 1_000, 0b11, .inf.
bool is_number_elsewhere(const std::string& text) {
  std::string plain = text;
  std::erase(plain, '_');
  if (!plain_scalar(plain).is_string()) return true;
  if (plain.starts_with('-') || plain.starts_with('+')) plain.erase(0, 1);
  return one_of(plain, {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"}) ||
         (plain.starts_with("0b") && plain.find_first_not_of("01", 2) == std::string::npos);
}

bool needs_quotes(const std::string& text) {
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':') return true;
  if (is_number_elsewhere(text) || one_of(text, {"=", "<<"})) return true;
  if (std::string_view("-?:,[]{}#&*!|>'\"%@`").find(text.front()) != std::string_view::npos) {
    const bool dash_word = text.front() == '-' && text.size() > 1 && text[1] != ' ' && text != "---";
    if (!dash_word) return true;
  }
  if (text.front() >= '0' && text.front() <= '9' &&
      text.find_first_not_of("0123456789-:.TZ_") == std::string::npos) {
    return true;  // dates and sexagesimal numbers of YAML 1.1
  }
  return !is_clean(text, false) || text.find(": ") != std::string::npos ||
         text.find(" #") != std::string::npos;
}

std::string yaml_string(const std::string& text) {
  if (!needs_quotes(text)) return text;
  // JSON strings are YAML strings.
  const std::string quoted = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string out;
  for (std::size_t at = 0; at < quoted.size();) {
    const std::size_t special = special_bytes(std::string_view(quoted).substr(at));
    if (special == 0) {
      out += quoted[at++];
      continue;
    }
    const std::string escaped = Json(quoted.substr(at, special)).dump(-1, ' ', true);  // "\u0085"
    out += special == 1 ? "\\u007f" : escaped.substr(1, escaped.size() - 2);
    at += special;
  }
  return out;
}

void write(const Json& value, std::size_t indent, std::string& out);

void write_block(const std::string& text, std::size_t indent, std::string& out) {
  out += text.ends_with('\n') ? " |\n" : " |-\n";
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) out.append(indent, ' ');
    out.append(text, at, end - at);
    out += '\n';
    at = end + 1;
  }
}

bool as_block(const Json& value) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  if (text.find('\n') == std::string::npos || text.front() == ' ' || text.front() == '\n') return false;
  if (text.ends_with("\n\n") || text.find(" \n") != std::string::npos) return false;
  return is_clean(text, true);
}

void write_member(const Json& value, std::size_t indent, std::string& out) {
  if (as_block(value)) {
    write_block(value.get_ref<const std::string&>(), indent + 2, out);
  } else if (value.is_structured() && !value.empty()) {
    out += '\n';
    write(value, value.is_array() ? indent : indent + 2, out);
  } else {
    out += ' ';
    write(value, indent, out);
  }
}

void write(const Json& value, std::size_t indent, std::string& out) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, member] : value.items()) {
      out.append(indent, ' ').append(yaml_string(key)).append(":");
      write_member(member, indent, out);
    }
  } else if (value.is_array() && !value.empty()) {
    for (const Json& item : value) {
      out.append(indent, ' ').append("-");
      if (item.is_structured() && !item.empty()) {
        std::string nested;
        write(item, indent + 2, nested);
        out += ' ' + nested.substr(indent + 2);
      } else {
        write_member(item, indent, out);
      }
    }
  } else {
    out += value.is_string() ? yaml_string(value.get_ref<const std::string&>())
                             : value.dump(-1, ' ', false, Json::error_handler_t::replace);
    out += '\n';
  }
}

// yaml-cpp leaves a bracket that closes nothing where it is, and then finds empty documents there without end
// (YAML::LoadAll("]")). So the text is gone through once before a tree is made of it.
class Progress : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (mark.pos == last_) throw YAML::ParserException(mark, "nothing can begin here");
    last_ = mark.pos;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}

 private:
  int last_ = -1;
};

// The line at which the text broke, or the one before it, is set in by a tab: yaml-cpp only says what it
// found instead of the end of a map. 0: neither. Lines count from 0.
int tabbed_line(std::string_view text, int broken) {
  int line = 0;
  for (std::size_t at = 0; at < text.size() && line <= broken; ++line) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view whole = text.substr(at, end - at);
    const std::string_view white = whole.substr(0, std::min(whole.find_first_not_of(" \t"), whole.size()));
    if (line + 1 >= broken && white.find('\t') != std::string_view::npos) return line + 1;
    at = end + 1;
  }
  return 0;
}

void check_progress(const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  Progress progress;
  while (parser.HandleNextDocument(progress)) {
  }
}

std::optional<std::uint16_t> escaped_unit(std::string_view text) {
  return text.starts_with("\\u") && text.size() >= 6 ? number<std::uint16_t>(text.substr(2, 4), 16)
                                                     : std::nullopt;
}

// JSON may write a character beyond U+FFFF as a pair of escapes, which YAML does not know.
std::string joined_pairs(std::string_view json) {
  std::string out;
  for (std::size_t at = 0; at < json.size();) {
    const auto high = escaped_unit(json.substr(at));
    const auto low = high ? escaped_unit(json.substr(at + 6)) : std::nullopt;
    if (low && (*high & 0xFC00U) == 0xD800U && (*low & 0xFC00U) == 0xDC00U) {
      out += read_json(fmt::format("\"{}\"", json.substr(at, 12))).get<std::string>();
      at += 12;
    } else {
      const std::size_t size = json[at] == '\\' ? 2 : 1;  // of "\\\\ud83d" the backslash, and no unit
      out += json.substr(at, size);
      at += size;
    }
  }
  return out;
}

bool begins_as_json(std::string_view text) {
  const std::size_t at = text.find_first_not_of(" \t\r\n");
  return at != std::string_view::npos && (text[at] == '{' || text[at] == '[');
}

}  // namespace

Result<std::vector<YamlDocument>> parse_yaml(std::string_view text, const std::string& file) {
  if (text.find('\0') != std::string_view::npos) {
    return invalid_argument(fmt::format("{}: not YAML: it holds binary data; is this the right file?", file));
  }
  if (!is_utf8(text))
    return invalid_argument(fmt::format("{}: not YAML: it is not UTF-8; save it as UTF-8", file));
  try {
    std::vector<YamlDocument> out;
    const std::string whole = begins_as_json(text) ? joined_pairs(text) : std::string(text);
    check_progress(whole);
    for (const YAML::Node& node : YAML::LoadAll(whole)) {
      if (!node.IsDefined() || node.IsNull()) continue;
      YamlDocument document;
      document.line = node.Mark().line + 1;
      Converter converter(file, kValuesFree + kValuesPerByte * text.size(), document);
      MUSTER_ASSIGN(document.value, converter.convert(node, "", 0));
      out.push_back(std::move(document));
    }
    return out;
  } catch (const YAML::Exception& broken) {
    if (const int line = broken.mark.is_null() ? 0 : tabbed_line(text, broken.mark.line); line > 0) {
      return invalid_argument(
          fmt::format("{}:{}: not YAML: the line is set in by a tab; use spaces instead", file, line));
    }
    const std::string place =
        broken.mark.is_null() ? file
                              : fmt::format("{}:{}:{}", file, broken.mark.line + 1, broken.mark.column + 1);
    return invalid_argument(fmt::format("{}: not YAML: {}; correct the file there", place, broken.msg));
  } catch (const std::exception& broken) {
    return invalid_argument(fmt::format("{}: not YAML: {}; correct the file", file, broken.what()));
  }
}

std::string to_yaml(const Json& value) {
  std::string out;
  write(value, 0, out);
  return out;
}

}  // namespace muster
