#pragma once  // learning/data_identity.h: whether two pods have loaded the same dataset, as they tell it.
              // Pure
#include <string>
#include <string_view>

namespace muster::learning {

// Raised with every change of how files become examples: the digest is of what was read, so that two releases
// may have different ones of the same files.
inline constexpr std::string_view kReadingVersion = "1";

// "1:<SHA-256>".
[[nodiscard]] inline std::string data_identity(std::string_view digest) {
  return std::string(kReadingVersion) + ":" + std::string(digest);
}

// What another release has read, or what tells nothing, is not compared: it differs from nothing.
[[nodiscard]] inline bool is_other_data(std::string_view told, std::string_view own) {
  const auto version = [](std::string_view text) { return text.substr(0, text.find(':')); };
  if (told.find(':') == std::string_view::npos || own.find(':') == std::string_view::npos) return false;
  return version(told) == version(own) && told != own;
}

}  // namespace muster::learning
