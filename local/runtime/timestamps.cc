// local/runtime/timestamps.cc: RFC 3339 times
#include "local/runtime/timestamps.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <ctime>

namespace muster::local {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

std::tm broken_down(std::time_t time) {
  std::tm out{};
  gmtime_r(&time, &out);
  return out;
}

std::string date_and_time(std::time_t time) {
  const std::tm t = broken_down(time);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
                     t.tm_hour, t.tm_min, t.tm_sec);
}

}  // namespace

std::string rfc3339(WallTime time) { return date_and_time(std::chrono::system_clock::to_time_t(time)) + "Z"; }

std::string rfc3339_nano(WallTime time) {
  const auto since = std::chrono::duration_cast<nanoseconds>(time.time_since_epoch());
  const auto whole = std::chrono::floor<seconds>(since);
  return fmt::format("{}.{:09}Z", date_and_time(whole.count()), (since - whole).count());
}

std::optional<WallTime> parse_rfc3339(std::string_view source) {
  std::tm t{};
  const std::string copy(source);
  const char* rest = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &t);
  if (rest == nullptr) return std::nullopt;
  nanoseconds fraction{0};
  if (*rest == '.') {
    std::int64_t unit = 100'000'000;
    for (++rest; std::isdigit(static_cast<unsigned char>(*rest)) != 0; ++rest, unit /= 10) {
      fraction += nanoseconds((*rest - '0') * unit);
    }
  }
  seconds offset{0};
  if (*rest == '+' || *rest == '-') {
    std::tm zone{};
    const char* end = strptime(rest + 1, "%H:%M", &zone);
    if (end == nullptr || *end != '\0') return std::nullopt;
    offset = seconds((zone.tm_hour * 60 + zone.tm_min) * 60) * (*rest == '+' ? 1 : -1);
  } else if (std::string_view(rest) != "Z" && std::string_view(rest) != "z") {
    return std::nullopt;
  }
  // The clock counts nanoseconds: it ends in 2262, RFC 3339 in 9999. Within this bound, ages can be told as
  // well.
  constexpr std::int64_t kSecondsMax = 7'000'000'000;
  const std::int64_t whole = std::clamp<std::int64_t>(timegm(&t), -kSecondsMax, kSecondsMax);
  const auto time = WallTime(seconds(whole)) - offset;
  return time + std::chrono::duration_cast<WallTime::duration>(fraction);
}

}  // namespace muster::local
