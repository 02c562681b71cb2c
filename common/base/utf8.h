#pragma once  // common/base/utf8.h: which bytes are text
#include <string_view>

namespace muster {

// JSON and protobuf are UTF-8: a value with other bytes cannot be printed. Whoever makes values of other
// formats asks first.
[[nodiscard]] bool is_utf8(std::string_view text);

}  // namespace muster
