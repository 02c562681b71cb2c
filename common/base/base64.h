#pragma once  // common/base/base64.h: the standard alphabet, with padding
#include <optional>
#include <string>
#include <string_view>

namespace muster {

[[nodiscard]] std::string base64_encode(std::string_view bytes);
[[nodiscard]] std::optional<std::string> base64_decode(std::string_view text);
// Where a text stops to be base64, as Go counts it; nullopt if it is.
[[nodiscard]] std::optional<std::size_t> base64_error(std::string_view text);

}  // namespace muster
