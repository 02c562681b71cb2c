// common/base/base64.cc: groups of three bytes as four letters
#include "common/base/base64.h"

#include <cstdint>

namespace muster {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto at = [&](std::size_t k) {
      return k < bytes.size() ? static_cast<std::uint8_t>(bytes[k]) : 0U;
    };
    const std::uint32_t group = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    text += kAlphabet[group >> 18];
    text += kAlphabet[group >> 12 & 63];
    text += i + 1 < bytes.size() ? kAlphabet[group >> 6 & 63] : '=';
    text += i + 2 < bytes.size() ? kAlphabet[group & 63] : '=';
  }
  return text;
}

std::optional<std::size_t> base64_error(std::string_view text) {
  std::size_t count = 0;
  std::size_t i = 0;
  for (; i < text.size() && text[i] != '='; ++i) {
    if (text[i] == '\n' || text[i] == '\r') continue;
    if (kAlphabet.find(text[i]) == std::string_view::npos) return i;
    ++count;
  }
  const std::size_t wanted = (4 - count % 4) % 4;
  if (count % 4 == 1) return i;
  std::size_t padding = 0;
  for (; i < text.size(); ++i) {
    if (text[i] == '\n' || text[i] == '\r') continue;
    if (text[i] != '=' || padding == wanted) return i;
    ++padding;
  }
  // Go reports where the incomplete group began to be incomplete.
  if (padding != wanted) return text.size() - (padding == 0 ? count % 4 : 0);
  return std::nullopt;
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (base64_error(text)) return std::nullopt;
  std::string bytes;
  std::uint32_t group = 0;
  int bits = 0;
  for (const char c : text) {
    const auto value = kAlphabet.find(c);
    if (value == std::string_view::npos) continue;
    group = group << 6 | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes += static_cast<char>(group >> bits & 0xff);
    }
  }
  return bytes;
}

}  // namespace muster
