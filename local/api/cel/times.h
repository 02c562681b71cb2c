#pragma once  // local/api/cel/times.h: durations and timestamps of CEL
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "local/api/cel/value.h"

namespace muster::local::cel {

// "1h30m", "-1.5s" in nanoseconds; none if it is not one, or past 290 years. `days`: also "2d", "3 weeks", as
// the format "duration" of a schema allows.
[[nodiscard]] std::optional<std::int64_t> parse_duration(std::string_view text, bool days);
[[nodiscard]] std::string duration_text(std::int64_t nanoseconds);  // "5400s", "1.5s"
[[nodiscard]] std::optional<Value> parse_timestamp(const std::string& text);
[[nodiscard]] std::string timestamp_text(const Value& time);
// "getFullYear" and the like; `zone` is "", "UTC" or "+01:00". None if the zone is not known.
[[nodiscard]] std::optional<std::int64_t> timestamp_part(const Value& time, std::string_view part,
                                                         std::string_view zone);
// A sum; none if it leaves the years 1 to 9999.
[[nodiscard]] std::optional<Value> shifted(const Value& time, std::int64_t nanoseconds);

}  // namespace muster::local::cel
