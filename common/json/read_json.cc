// common/json/read_json.cc: counts levels before a parser, or anything that recurses, sees them
#include "common/json/read_json.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace muster {

bool nested_too_deep(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kJsonDepthMax) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

bool nested_too_deep(const Json& value) {
  std::vector<std::pair<const Json*, int>> open{{&value, 0}};
  while (!open.empty()) {
    const auto [at, depth] = open.back();
    open.pop_back();
    if (!at->is_structured()) continue;
    if (depth == kJsonDepthMax) return true;
    for (const Json& member : *at) open.emplace_back(&member, depth + 1);
  }
  return false;
}

Json read_json(std::string_view text) {
  return nested_too_deep(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
}

}  // namespace muster
