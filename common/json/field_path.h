#pragma once  // common/json/field_path.h: the field paths that a sentence names
#include <string>
#include <string_view>

namespace muster {

// `message` about an object that was made from a part of another one, told of that part: every path that
// begins with "spec." or "metadata." gets `part` and a dot in front. "unknown field \"spec.x\"" of a pod
// becomes "unknown field \"spec.workers.template.spec.x\"".
[[nodiscard]] std::string in_part(std::string_view message, std::string_view part);

}  // namespace muster
