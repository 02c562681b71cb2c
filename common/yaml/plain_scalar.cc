// common/yaml/plain_scalar.cc: the words and numbers of YAML 1.1, as Kubernetes reads them
#include "common/yaml/plain_scalar.h"

#include <cmath>
#include <cstdlib>
#include <limits>

namespace muster::yaml {
namespace {

std::optional<Json> as_integer(std::string_view text) {
  const bool negative = text.starts_with('-');
  std::string_view digits = text;
  if (negative || text.starts_with('+')) digits.remove_prefix(1);
  if (digits.empty() || digits.front() < '0' || digits.front() > '9') return std::nullopt;
  int base = 10;
  if (digits.starts_with("0x")) base = 16;
  if (digits.starts_with("0o")) base = 8;
  if (base != 10) {
    digits.remove_prefix(2);
  } else if (digits.size() > 1 && digits.front() == '0') {
    base = 8;  // YAML 1.1, as Kubernetes reads it: defaultMode: 0644
  }
  const auto magnitude = number<std::uint64_t>(digits, base);
  if (!magnitude) return std::nullopt;
  if (!negative) {
    if (*magnitude <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return Json(static_cast<std::int64_t>(*magnitude));
    }
    return Json(*magnitude);
  }
  if (*magnitude > (std::uint64_t{1} << 63U)) return std::nullopt;
  return Json(static_cast<std::int64_t>(~*magnitude + 1));
}

std::optional<Json> as_real(std::string_view text) {
  const std::string_view body = text.starts_with('-') || text.starts_with('+') ? text.substr(1) : text;
  if (body.empty() || body.find_first_not_of("0123456789.eE+-") != std::string_view::npos)
    return std::nullopt;
  if (body.find_first_of("0123456789") == std::string_view::npos) return std::nullopt;
  if (body.front() == 'e' || body.front() == 'E') return std::nullopt;
  const std::string copy(text);
  char* end = nullptr;
  const double value = std::strtod(copy.c_str(), &end);
  if (end != copy.c_str() + copy.size() || !std::isfinite(value)) return std::nullopt;
  // As kubectl sends it: 2.0 and 1e3 are 2 and 1000, which integer fields and the rules on them take.
  constexpr double kLimit = 9223372036854775808.0;
  if (std::trunc(value) == value && std::abs(value) < kLimit) return Json(static_cast<std::int64_t>(value));
  return Json(value);
}

}  // namespace

Json plain_scalar(const std::string& text) {
  if (text.empty() || one_of(text, {"~", "null", "Null", "NULL"})) return nullptr;
  if (one_of(text, {"true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})) return true;
  if (one_of(text, {"false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"}))
    return false;
  std::string digits = text;
  if (std::string_view("0123456789+-").find(text.front()) != std::string_view::npos)
    std::erase(digits, '_');  // YAML 1.1: 1_000_000
  if (auto integer = as_integer(digits)) return *integer;
  if (auto real = as_real(digits)) return *real;
  return text;
}

}  // namespace muster::yaml
