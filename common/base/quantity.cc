// common/base/quantity.cc: a number and its suffix
#include "common/base/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>

namespace muster {
namespace {

struct Suffix {
  const char* text;
  int base;
  int exponent;
};
constexpr std::array kSuffixes = {
    Suffix{"n", 10, -9}, Suffix{"u", 10, -6}, Suffix{"m", 10, -3}, Suffix{"", 10, 0},
    Suffix{"k", 10, 3},  Suffix{"M", 10, 6},  Suffix{"G", 10, 9},  Suffix{"T", 10, 12},
    Suffix{"P", 10, 15}, Suffix{"E", 10, 18}, Suffix{"Ki", 2, 10}, Suffix{"Mi", 2, 20},
    Suffix{"Gi", 2, 30}, Suffix{"Ti", 2, 40}, Suffix{"Pi", 2, 50}, Suffix{"Ei", 2, 60}};

constexpr std::size_t kDigitsMax = 64;
constexpr std::size_t kExponentMax = 5;  // characters, with the e

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The exponent of "e3", "E-3".
std::optional<int> read_exponent(std::string_view text) {
  if (text.size() < 2 || text.size() > kExponentMax || (text[0] != 'e' && text[0] != 'E'))
    return std::nullopt;
  text.remove_prefix(text[1] == '+' ? 2 : 1);
  int out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

}  // namespace

std::optional<Quantity> parse_quantity(std::string_view text) {
  std::size_t at = !text.empty() && (text[0] == '+' || text[0] == '-') ? 1 : 0;
  bool digits = false;
  for (bool point = false; at < text.size() && (is_digit(text[at]) || (text[at] == '.' && !point)); ++at) {
    point = point || text[at] == '.';
    digits = digits || is_digit(text[at]);
  }
  if (!digits || at > kDigitsMax) return std::nullopt;
  Quantity out;
  out.value = std::stold(std::string(text.substr(0, at)));
  const std::string_view suffix = text.substr(at);
  const auto known =
      std::ranges::find_if(kSuffixes, [&](const Suffix& candidate) { return suffix == candidate.text; });
  if (known != kSuffixes.end()) {
    out.binary = known->base == 2;
    out.value *= std::pow(static_cast<long double>(known->base), known->exponent);
    return out;
  }
  const auto exponent = read_exponent(suffix);
  if (!exponent) return std::nullopt;
  out.exponent = true;
  out.value *= std::pow(10.0L, *exponent);
  return out;
}

const char* quantity_suffix(int base, int exponent) {
  for (const Suffix& known : kSuffixes)
    if (known.base == base && known.exponent == exponent) return known.text;
  return nullptr;
}

}  // namespace muster
