// local/api/cel/times.cc: durations and timestamps of CEL
#include "local/api/cel/times.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <ctime>

#include "local/api/formats.h"

namespace muster::local::cel {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kYearFirst = -62135596800;  // 0001-01-01
constexpr std::int64_t kYearLast = 253402300799;   // 9999-12-31
constexpr long double kDurationMax = 9.2e18L;

struct Unit {
  std::string_view name;
  long double nanoseconds;
  bool day_or_more;
};
constexpr std::array kUnits = {
    Unit{"ns", 1, false},          Unit{"us", 1e3L, false},      Unit{"\xC2\xB5s", 1e3L, false},
    Unit{"ms", 1e6L, false},       Unit{"s", 1e9L, false},       Unit{"m", 60e9L, false},
    Unit{"h", 3600e9L, false},     Unit{"d", 86400e9L, true},    Unit{"w", 604800e9L, true},
    Unit{"day", 86400e9L, true},   Unit{"days", 86400e9L, true}, Unit{"week", 604800e9L, true},
    Unit{"weeks", 604800e9L, true}};

bool digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::optional<std::int64_t> parse_duration(std::string_view text, bool days) {
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  long double total = 0;
  while (!text.empty()) {
    std::size_t end = 0;
    while (end < text.size() && (digit(text[end]) || text[end] == '.')) ++end;
    const std::string number(text.substr(0, end));
    if (number.empty() || number.size() > 40 || number == "." || number.find('.') != number.rfind('.'))
      return std::nullopt;
    text.remove_prefix(end);
    while (days && !text.empty() && text[0] == ' ') text.remove_prefix(1);
    std::size_t letters = 0;
    while (letters < text.size() && !digit(text[letters]) && text[letters] != '.' && text[letters] != ' ')
      ++letters;
    const std::string_view name = text.substr(0, letters);
    text.remove_prefix(letters);
    while (days && !text.empty() && text[0] == ' ') text.remove_prefix(1);
    bool known = false;
    for (const Unit& unit : kUnits)
      if (unit.name == name && (days || !unit.day_or_more)) {
        total += std::stold(number) * unit.nanoseconds;
        known = true;
        break;
      }
    if (!known || total > kDurationMax) return std::nullopt;
  }
  const auto nanoseconds = static_cast<std::int64_t>(std::round(total));
  return negative ? -nanoseconds : nanoseconds;
}

std::string duration_text(std::int64_t nanoseconds) {
  const bool negative = nanoseconds < 0;
  const auto value =
      static_cast<std::uint64_t>(negative ? -(nanoseconds + 1) : nanoseconds) + (negative ? 1 : 0);
  std::string text = fmt::format("{}{}", negative ? "-" : "", value / kSecond);
  if (value % kSecond != 0) {
    text += fmt::format(".{:09}", value % kSecond);
    while (text.back() == '0') text.pop_back();
  }
  return text + "s";
}

std::optional<Value> parse_timestamp(const std::string& text) {
  const auto time = parse_time(text);
  if (!time) return std::nullopt;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(*time);
  Value value;
  value.kind = Kind::kTimestamp;
  value.number = seconds.time_since_epoch().count();
  value.nanos = static_cast<std::int32_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(*time - seconds).count());
  if (value.number < kYearFirst || value.number > kYearLast) return std::nullopt;
  return value;
}

std::string timestamp_text(const Value& time) {
  const std::time_t seconds = time.number;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::string text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", parts.tm_year + 1900,
                                 parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  if (time.nanos != 0) {
    text += fmt::format(".{:09}", time.nanos);
    while (text.back() == '0') text.pop_back();
  }
  return text + "Z";
}

std::optional<std::int64_t> timestamp_part(const Value& time, std::string_view part, std::string_view zone) {
  std::int64_t offset = 0;
  if (!zone.empty() && zone != "UTC" && zone != "Z") {
    const bool marked = zone[0] == '-' || zone[0] == '+';
    const std::string_view clock = marked ? zone.substr(1) : zone;
    if (clock.size() != 5 || clock[2] != ':' || !digit(clock[0]) || !digit(clock[1]) || !digit(clock[3]) ||
        !digit(clock[4]))
      return std::nullopt;
    offset =
        ((clock[0] - '0') * 10 + (clock[1] - '0')) * 3600 + ((clock[3] - '0') * 10 + (clock[4] - '0')) * 60;
    if (zone[0] == '-') offset = -offset;
  }
  const std::time_t seconds = time.number + offset;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  if (part == "getFullYear") return parts.tm_year + 1900;
  if (part == "getMonth") return parts.tm_mon;
  if (part == "getDate") return parts.tm_mday;
  if (part == "getDayOfMonth") return parts.tm_mday - 1;
  if (part == "getDayOfWeek") return parts.tm_wday;
  if (part == "getDayOfYear") return parts.tm_yday;
  if (part == "getHours") return parts.tm_hour;
  if (part == "getMinutes") return parts.tm_min;
  if (part == "getSeconds") return parts.tm_sec;
  return time.nanos / 1'000'000;
}

std::optional<Value> shifted(const Value& time, std::int64_t nanoseconds) {
  Value sum = time;
  sum.number += nanoseconds / kSecond;
  std::int64_t nanos = time.nanos + nanoseconds % kSecond;
  if (nanos < 0) {
    nanos += kSecond;
    --sum.number;
  } else if (nanos >= kSecond) {
    nanos -= kSecond;
    ++sum.number;
  }
  sum.nanos = static_cast<std::int32_t>(nanos);
  if (sum.number < kYearFirst || sum.number > kYearLast) return std::nullopt;
  return sum;
}

}  // namespace muster::local::cel
