// local/api/yaml_text.cc: JSON as YAML in the layout that kubectl users know: sorted keys, lists not indented
#include <algorithm>
#include <cctype>
#include <utility>

#include "local/api/yaml.h"

namespace muster::local {
namespace {

// True if a reader takes `text` for a string even without quotes. Said narrowly: quotes never hurt.
bool is_plain(const std::string& text) {
  constexpr std::string_view kInside = "_-./@%+=~()<>$^;,";
  const auto letter = [](unsigned char c) { return std::isalpha(c) || c == '_' || c == '/'; };
  if (text.empty() || !letter(static_cast<unsigned char>(text[0]))) return false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (!std::isalnum(byte) && c != ' ' && kInside.find(c) == std::string_view::npos) return false;
  }
  if (text.back() == ' ') return false;
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* word : {"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
    if (lower == word) return false;
  return true;
}

std::string scalar(const Json& value) {
  if (value.is_string() && is_plain(value.get_ref<const std::string&>())) return value.get<std::string>();
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);  // JSON is YAML
}

bool is_block(const Json& value) { return value.is_structured() && !value.empty(); }

void append(const Json& value, std::size_t indent, bool in_item, std::string& out);

void append_members(const Json& object, std::size_t indent, bool in_item, std::string& out) {
  bool first = in_item;  // the first member stands behind the item's dash
  for (const auto& [name, value] : object.items()) {
    if (!std::exchange(first, false)) out.append(indent, ' ');
    out += scalar(Json(name)) + ":";
    if (!is_block(value)) {
      out += " " + scalar(value) + "\n";
      continue;
    }
    out += '\n';
    append(value, value.is_array() ? indent : indent + 2, false, out);
  }
}

void append(const Json& value, std::size_t indent, bool in_item, std::string& out) {
  if (value.is_object()) return append_members(value, indent, in_item, out);
  bool first = in_item;
  for (const Json& item : value) {
    if (!std::exchange(first, false)) out.append(indent, ' ');
    out += "- ";
    if (is_block(item))
      append(item, indent + 2, true, out);
    else
      out += scalar(item) + "\n";
  }
}

}  // namespace

std::string yaml_text(const Json& value) {
  std::string out;
  if (is_block(value))
    append(value, 0, false, out);
  else
    out = scalar(value) + "\n";
  return out;
}

}  // namespace muster::local
