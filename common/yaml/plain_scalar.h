#pragma once  // common/yaml/plain_scalar.h: what a word of YAML means that is neither quoted nor tagged; of
              // yaml/ alone
#include <charconv>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "common/json/fields.h"

namespace muster::yaml {

[[nodiscard]] inline bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    if (text == word) return true;
  }
  return false;
}

// All of it, or nullopt.
template <typename T>
[[nodiscard]] std::optional<T> number(std::string_view text, int base) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// As kubectl takes it: null, a boolean, a number, or the text.
[[nodiscard]] Json plain_scalar(const std::string& text);

}  // namespace muster::yaml
