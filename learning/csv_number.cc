// learning/csv_number.cc: std::from_chars, and what people write beside what it reads
#include "learning/csv_number.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace muster::learning {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// The whole cell as a number with a decimal point; may be infinite or not a number.
std::optional<float> parse(std::string_view cell) {
  if (cell.starts_with('+')) {
    cell.remove_prefix(1);
    if (cell.starts_with('-') || cell.starts_with('+')) return std::nullopt;
  }
  const char* const end = cell.data() + cell.size();
  float value = 0;
  auto [stop, error] = std::from_chars(cell.data(), end, value);
  if (error == std::errc::result_out_of_range) {
    // The wider type tells numbers nearer to 0 than any float from those too large for one.
    long double wide = 0;
    error = std::from_chars(cell.data(), end, wide).ec;
    value = std::abs(wide) > 1 || error != std::errc() ? HUGE_VALF : 0.0F;
    error = std::errc();
  }
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

}  // namespace

bool equal_but_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

bool is_missing(std::string_view cell) {
  const auto text = trim(cell);
  constexpr std::array<std::string_view, 8> kWords{"", "nan", "na", "n/a", "null", "none", "?", "-nan"};
  return std::ranges::any_of(kWords, [&](std::string_view word) { return equal_but_case(text, word); });
}

std::optional<float> NumberReader::read(std::string_view cell) {
  cell = trim(cell);
  std::array<char, 64> with_point{};
  char decimal = 0;
  if (comma_allowed_ && cell.size() <= with_point.size() && cell.find(',') != std::string_view::npos) {
    decimal = ',';
    if (cell.find('.') != std::string_view::npos) return std::nullopt;
    std::ranges::replace_copy(cell, with_point.begin(), ',', '.');
    cell = {with_point.data(), cell.size()};
  } else if (comma_allowed_ && cell.find('.') != std::string_view::npos) {
    decimal = '.';
  }
  const auto value = parse(cell);
  if (!value) {
    if (equal_but_case(cell, "true")) return 1.0F;
    if (equal_but_case(cell, "false")) return 0.0F;
    return std::nullopt;
  }
  if (!std::isfinite(*value) || (decimal != 0 && decimal_ != 0 && decimal != decimal_)) return std::nullopt;
  if (decimal != 0) decimal_ = decimal;
  return value;
}

std::string_view NumberReader::why_not(std::string_view cell) const {
  cell = trim(cell);
  if (cell.empty()) return "is empty; fill it in or remove the row (pandas: fillna, dropna)";
  if (is_missing(cell))
    return "stands for a missing value; fill it in or remove the row (pandas: fillna, dropna)";
  const auto value = parse(cell);
  if (value && !std::isfinite(*value))
    return "is infinite or too large for a 32-bit float; correct or remove the row";
  if (value || (comma_allowed_ && decimal_ != 0 && cell.find(',') != std::string_view::npos))
    return "has another decimal point than the numbers before it; write all with a point or all with a comma";
  if (cell.find(',') != std::string_view::npos &&
      cell.find_first_not_of("+-0123456789.,") == std::string_view::npos)
    return "is not a number with a decimal point; remove the separators of thousands, or separate the cells "
           "by semicolons where the comma is the decimal point";
  return "is text and not a number; write it as numbers or remove the column (pandas: get_dummies, drop)";
}

}  // namespace muster::learning
