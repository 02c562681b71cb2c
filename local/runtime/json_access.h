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

}  // namespace muster::local
