#pragma once  // local/runtime/json_access.h: what every object of the API has
#include <string>

#include "common/json/access.h"

namespace muster::local {

[[nodiscard]] inline std::string name_of(const Json& object) {
  return text(member(object, "metadata", "name"));
}
[[nodiscard]] inline std::string namespace_of(const Json& object) {
  return text(member(object, "metadata", "namespace"));
}
[[nodiscard]] inline std::string uid_of(const Json& object) {
  return text(member(object, "metadata", "uid"));
}

// JSON holds UTF-8 only, and what a program wrote may be anything.
[[nodiscard]] inline std::string readable(const std::string& bytes) {
  return Json::parse(Json(bytes).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

}  // namespace muster::local
