#pragma once  // cli/format.h: numbers, sizes and times as people read them. Pure
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"

namespace muster::cli {

[[nodiscard]] std::string format_bytes(std::uint64_t bytes);  // "0 B", "12.4 kB", "3.10 MB"; powers of 1000
[[nodiscard]] std::string format_count(std::int64_t count);   // "12,345"
[[nodiscard]] std::string format_duration(std::chrono::milliseconds t);  // "4.2s", "1m05s", "2h03m"
[[nodiscard]] std::string format_age(std::chrono::seconds age);  // as kubectl: "42s", "5m12s", "3h", "2d"
[[nodiscard]] std::string age_of(const std::string& since, WallTime now);  // of an RFC 3339 time; "-" if none
[[nodiscard]] std::string format_loss(std::optional<double> loss);  // "0.4123"; "-" if absent, "nan" if it is
[[nodiscard]] std::string format_percent(std::optional<double> fraction);  // 0.8612 -> "86.12%"

// Columns that `text` takes on a terminal: code points, escape sequences not counted.
[[nodiscard]] std::size_t display_width(std::string_view text);
// At most `width` columns; escape sequences are kept whole.
[[nodiscard]] std::string clip(std::string_view text, std::size_t width);
// printable() line by line: words of a pod may be several lines. `between`: what stands between two; as it
// is, each but the first is set in by two columns.
[[nodiscard]] std::string printable_lines(std::string_view text, std::string_view between = "\n  ");

}  // namespace muster::cli
