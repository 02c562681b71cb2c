#pragma once  // common/base/text.h: text of bounded length that steers no terminal
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

// Each byte of a control character (C0 but the tab, DEL, C1) becomes '?', so that text of a peer can neither
// steer a terminal nor begin a line of its own.
[[nodiscard]] inline std::string printable(std::string_view text) {
  std::string out(text);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto byte = static_cast<unsigned char>(out[i]);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) out[i] = '?';
    const bool pair = byte == 0xC2 && i + 1 < out.size();
    if (pair && static_cast<unsigned char>(out[i + 1]) >= 0x80 &&
        static_cast<unsigned char>(out[i + 1]) <= 0x9f)
      out[i] = out[i + 1] = '?';
  }
  return out;
}

}  // namespace muster
