#pragma once  // common/json/read_json.h: JSON from outside, which may be nested as deep as somebody likes
#include <string>
#include <string_view>

#include "common/json/fields.h"

namespace muster {

// Levels of arrays and objects that bytes from outside may have. To parse a value takes no stack, but to
// copy, compare or print it does, level by level.
inline constexpr int kJsonDepthMax = 500;
[[nodiscard]] bool nested_too_deep(std::string_view text);  // right for JSON, says nothing about other texts
[[nodiscard]] bool nested_too_deep(const Json& value);

// A discarded value if `text` is not JSON or nested too deep.
[[nodiscard]] Json read_json(std::string_view text);

}  // namespace muster
