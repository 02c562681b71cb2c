#pragma once  // common/base/hex.h: bytes as text
#include <cstddef>
#include <string>
#include <string_view>

namespace muster {

// Two lower-case digits a byte.
[[nodiscard]] inline std::string hex_of(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const char each : bytes) {
    const auto byte = static_cast<unsigned char>(each);
    hex.push_back(kDigits[byte >> 4U]);
    hex.push_back(kDigits[byte & 15U]);
  }
  return hex;
}
// Of bytes as OpenSSL has them.
[[nodiscard]] inline std::string hex_of(const unsigned char* bytes, std::size_t size) {
  return hex_of(std::string_view(reinterpret_cast<const char*>(bytes), size));
}

}  // namespace muster
