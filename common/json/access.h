#pragma once  // common/json/access.h: reading objects that something else has validated, without throwing
#include <cstdint>
#include <string>
#include <string_view>

#include "common/json/fields.h"

namespace muster {

// The member, or null if `object` is not an object or has no such member.
[[nodiscard]] inline const Json& member(const Json& object, std::string_view name) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(name);
  return found == object.end() ? kNothing : *found;
}

template <typename... Names>
[[nodiscard]] const Json& member(const Json& object, std::string_view name, Names... names) {
  return member(member(object, name), names...);
}

[[nodiscard]] inline std::string text(const Json& value, std::string_view otherwise = "") {
  return value.is_string() ? value.get<std::string>() : std::string(otherwise);
}

[[nodiscard]] inline std::string text_at(const Json& object, std::string_view name) {
  return text(member(object, name));
}

// Of an object of the Kubernetes API.
[[nodiscard]] inline std::string meta_text(const Json& object, std::string_view name) {
  return text(member(object, "metadata", name));
}

[[nodiscard]] inline std::int64_t integer(const Json& value, std::int64_t otherwise = 0) {
  return value.is_number_integer() ? value.get<std::int64_t>() : otherwise;
}

[[nodiscard]] inline std::int64_t integer_at(const Json& object, std::string_view name) {
  return integer(member(object, name));
}

[[nodiscard]] inline bool boolean(const Json& value, bool otherwise = false) {
  return value.is_boolean() ? value.get<bool>() : otherwise;
}

}  // namespace muster
