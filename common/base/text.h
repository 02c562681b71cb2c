#pragma once  // common/base/text.h: text of bounded length
#include <algorithm>
#include <string>
#include <string_view>

namespace muster {

// At most `bytes_max` bytes of UTF-8 text, cut between characters: half a character would make a message of
// protobuf unreadable as a whole.
[[nodiscard]] inline std::string clip(std::string_view text, std::size_t bytes_max) {
  std::size_t end = std::min(text.size(), bytes_max);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end));
}

}  // namespace muster
