// common/yaml/write.cc: block style that every reader of YAML takes for what it was
#include <fmt/format.h>

#include <algorithm>

#include "common/yaml/plain_scalar.h"
#include "common/yaml/yaml.h"

namespace muster {
namespace {

using yaml::one_of;
using yaml::plain_scalar;

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

}  // namespace

std::string to_yaml(const Json& value) {
  std::string out;
  write(value, 0, out);
  return out;
}

}  // namespace muster
