// local/api/http_message.cc: taking request targets apart
#include "local/api/http_message.h"

namespace muster::local {
namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool unescape(std::string_view text, bool plus_is_space, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size() || hex(text[i + 1]) < 0 || hex(text[i + 2]) < 0) return false;
      out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' && plus_is_space ? ' ' : text[i];
    }
  }
  return true;
}

}  // namespace

bool parse_target(std::string_view target, std::string& path,
                  std::vector<std::pair<std::string, std::string>>& query) {
  const auto mark = target.find('?');
  if (!unescape(target.substr(0, mark), false, path)) return false;
  query.clear();
  if (mark == std::string_view::npos) return true;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find('&'));
    rest.remove_prefix(part.size() == rest.size() ? part.size() : part.size() + 1);
    if (part.empty()) continue;
    const auto equals = part.find('=');
    std::pair<std::string, std::string> parameter;
    if (!unescape(part.substr(0, equals), true, parameter.first)) return false;
    if (equals != std::string_view::npos && !unescape(part.substr(equals + 1), true, parameter.second))
      return false;
    query.push_back(std::move(parameter));
  }
  return true;
}

}  // namespace muster::local
