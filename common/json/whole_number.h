#pragma once  // common/json/whole_number.h: numbers that count something
#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

namespace muster {

// Whole floats up to here are what they look like; the API server takes them for integers, too (5.0, 1e3).
inline constexpr double kWholeFloatMax = 9007199254740991.0;  // 2^53 - 1

// The value of an integer, or of a float that is whole; none of anything else, or beyond 64 bits.
[[nodiscard]] inline std::optional<std::int64_t> whole_number(const nlohmann::json& value) {
  if (value.is_number_float()) {
    const double read = value.get<double>();
    if (std::floor(read) != read || std::abs(read) > kWholeFloatMax) return std::nullopt;
    return static_cast<std::int64_t>(read);
  }
  if (!value.is_number_integer()) return std::nullopt;
  const bool too_large = value.is_number_unsigned() &&
                         value.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()};
  return too_large ? std::nullopt : std::optional(value.get<std::int64_t>());
}

}  // namespace muster
