#pragma once  // local/runtime/base64.h: reading the data of Secrets
#include <cstdint>
#include <string>
#include <string_view>

namespace muster::local {

// Standard alphabet; other characters (padding, line breaks) are skipped, as the API server has validated the
// text.
[[nodiscard]] inline std::string decode_base64(std::string_view encoded) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : encoded) {
    const std::size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) continue;
    bits = (bits << 6 | static_cast<std::uint32_t>(digit)) & 0xffffff;
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xff);
    }
  }
  return out;
}

}  // namespace muster::local
