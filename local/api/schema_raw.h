#pragma once  // local/api/schema_raw.h: reading an openAPIV3Schema as written (private to schema_check.cc and
              // schema_structure.cc)
#include <array>
#include <string>

#include "local/api/metadata.h"
#include "local/api/schema.h"

namespace muster::local::raw {

inline constexpr std::array kBranches = {"allOf", "anyOf", "oneOf"};

inline bool flag(const Json& json, const char* name) {
  const auto it = json.find(name);
  return it != json.end() && *it == true;
}

inline std::string property_path(const std::string& path, const std::string& name) {
  return path + ".properties[" + name + "]";
}

}  // namespace muster::local::raw
