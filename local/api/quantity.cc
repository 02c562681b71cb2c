// local/api/quantity.cc: resource quantities ("500m", "1Gi") and their canonical form
#include <fmt/format.h>
#include <re2/re2.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

#include "local/api/formats.h"

namespace muster::local {
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

struct Parsed {
  long double value = 0;
  bool binary = false;
  bool exponent = false;
};

std::optional<Parsed> parse(const std::string& text) {
  static const re2::RE2 kRe(
      R"(([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?)");
  std::string digits, suffix;
  if (!re2::RE2::FullMatch(text, kRe, &digits, &suffix) || digits.size() > 64) return std::nullopt;
  Parsed parsed;
  parsed.value = std::stold(digits);
  if (suffix.size() > 1 && (suffix[0] == 'e' || suffix[0] == 'E') && suffix != "Ei") {
    if (suffix.size() > 5) return std::nullopt;
    parsed.exponent = true;
    parsed.value *= std::pow(10.0L, std::stoi(suffix.substr(1)));
    return parsed;
  }
  for (const Suffix& known : kSuffixes)
    if (suffix == known.text) {
      parsed.binary = known.base == 2;
      parsed.value *= std::pow(static_cast<long double>(known.base), known.exponent);
    }
  return parsed;
}

}  // namespace

bool is_quantity(const std::string& text) { return parse(text).has_value(); }

std::optional<double> quantity_value(const std::string& text) {
  const auto parsed = parse(text);
  return parsed ? std::optional(static_cast<double>(parsed->value)) : std::nullopt;
}

std::string canonical_quantity(const std::string& text) {
  const auto parsed = parse(text);
  if (!parsed || parsed->exponent) return text;
  long double nano = std::ceil(parsed->value * 1e9L - 1e-6L);
  if (std::abs(nano) > 9e27L) return text;
  if (nano == 0) return "0";
  const auto whole = [&](long double unit) { return std::fmod(nano, unit * 1e9L) == 0; };
  if (parsed->binary && std::abs(nano) >= 1024e9L) {
    for (int exponent = 60; exponent >= 10; exponent -= 10) {
      const long double unit = std::pow(2.0L, exponent);
      if (!whole(unit)) continue;
      for (const Suffix& known : kSuffixes)
        if (known.base == 2 && known.exponent == exponent)
          return fmt::format("{}{}", static_cast<std::int64_t>(nano / 1e9L / unit), known.text);
    }
  }
  for (int exponent = 18; exponent >= -9; exponent -= 3) {
    if (parsed->binary && exponent > 0) continue;
    const long double unit = std::pow(10.0L, exponent + 9);  // in nano, and so without a fraction
    if (std::fmod(nano, unit) != 0) continue;
    for (const Suffix& known : kSuffixes)
      if (known.base == 10 && known.exponent == exponent)
        return fmt::format("{}{}", static_cast<std::int64_t>(std::llround(nano / unit)), known.text);
  }
  return text;
}

}  // namespace muster::local
