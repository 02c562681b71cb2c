// local/api/quantity.cc: the canonical form of resource quantities
#include <fmt/format.h>

#include <cmath>
#include <cstdint>

#include "common/base/quantity.h"
#include "local/api/formats.h"

namespace muster::local {

bool is_quantity(const std::string& text) { return parse_quantity(text).has_value(); }

std::optional<double> quantity_value(const std::string& text) {
  const auto parsed = parse_quantity(text);
  return parsed ? std::optional(static_cast<double>(parsed->value)) : std::nullopt;
}

std::string canonical_quantity(const std::string& text) {
  const auto parsed = parse_quantity(text);
  if (!parsed || parsed->exponent) return text;
  long double nano = std::ceil(parsed->value * 1e9L - 1e-6L);
  if (std::abs(nano) > 9e27L) return text;
  if (nano == 0) return "0";
  const auto whole = [&](long double unit) { return std::fmod(nano, unit * 1e9L) == 0; };
  if (parsed->binary && std::abs(nano) >= 1024e9L) {
    for (int exponent = 60; exponent >= 10; exponent -= 10) {
      const long double unit = std::pow(2.0L, exponent);
      if (!whole(unit)) continue;
      return fmt::format("{}{}", static_cast<std::int64_t>(nano / 1e9L / unit), quantity_suffix(2, exponent));
    }
  }
  for (int exponent = 18; exponent >= -9; exponent -= 3) {
    if (parsed->binary && exponent > 0) continue;
    const long double unit = std::pow(10.0L, exponent + 9);  // in nano, and so without a fraction
    if (std::fmod(nano, unit) != 0) continue;
    return fmt::format("{}{}", static_cast<std::int64_t>(std::llround(nano / unit)),
                       quantity_suffix(10, exponent));
  }
  return text;
}

}  // namespace muster::local
