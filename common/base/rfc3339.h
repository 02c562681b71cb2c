#pragma once  // common/base/rfc3339.h: times as text, as Kubernetes writes and reads them
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"

namespace muster {

[[nodiscard]] std::string rfc3339(WallTime time);        // "2026-01-02T03:04:05Z", as metav1.Time
[[nodiscard]] std::string rfc3339_micro(WallTime time);  // "2026-01-02T03:04:05.000006Z", as metav1.MicroTime
[[nodiscard]] std::string rfc3339_nano(WallTime time);   // "2026-01-02T03:04:05.000000006Z", as in logs

// With or without a fraction, in any zone. Nothing for what is no time of the calendar.
[[nodiscard]] std::optional<WallTime> parse_rfc3339(std::string_view text);

// Seconds since 1970, as near as a WallTime can be to them: it counts nanoseconds and ends in 2262, RFC 3339
// in 9999. Within this bound ages can be told, too.
[[nodiscard]] WallTime clock_time(std::int64_t seconds);

}  // namespace muster
