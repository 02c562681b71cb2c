#pragma once  // common/json/defaults.h: a field at its default counts as absent
#include "common/json/fields.h"

namespace muster {

// The fields of `value` that differ from those of `defaults`, at every depth. A field that `defaults` does
// not have stays; an object of which nothing stays goes.
[[nodiscard]] inline Json without_defaults(const Json& value, const Json& defaults) {
  if (!value.is_object() || !defaults.is_object()) return value;
  Json rest = Json::object();
  for (const auto& [key, field] : value.items()) {
    const auto usual = defaults.find(key);
    if (usual == defaults.end()) {
      rest[key] = field;
    } else if (field != *usual) {
      Json inner = without_defaults(field, *usual);
      if (!inner.is_object() || !inner.empty()) rest[key] = std::move(inner);
    }
  }
  return rest;
}

}  // namespace muster
