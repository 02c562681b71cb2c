// cli/format.cc: numbers, sizes and times as people read them
#include "cli/format.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "common/base/rfc3339.h"
#include "common/base/text.h"

namespace muster::cli {
namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

// The length of the escape sequence at `text[at]`, 0 if there is none: ESC [ ... letter.
std::size_t escape_length(std::string_view text, std::size_t at) {
  if (text[at] != '\x1b' || at + 1 >= text.size() || text[at + 1] != '[') return 0;
  std::size_t end = at + 2;
  while (end < text.size() && (text[end] < '@' || text[end] > '~')) ++end;
  return end < text.size() ? end - at + 1 : text.size() - at;
}

}  // namespace

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits{"B", "kB", "MB", "GB", "TB", "PB"};
  if (bytes < 1000) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  const int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", value, digits, kUnits[unit]);
}

std::string format_count(std::int64_t count) {
  std::string digits = std::to_string(count);
  const std::size_t first = count < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

std::string format_duration(std::chrono::milliseconds t) {
  const auto ms = t.count() < 0 ? 0 : t.count();
  if (ms < 9950) return fmt::format("{:.1f}s", static_cast<double>(ms) / 1000);
  const auto seconds = (ms + 500) / 1000;
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  return fmt::format("{}h{:02}m", seconds / 3600, seconds % 3600 / 60);
}

std::string format_age(std::chrono::seconds age) {
  const auto s = age.count() < 0 ? 0 : age.count();
  if (s < 120) return fmt::format("{}s", s);
  if (s < 600) return s % 60 == 0 ? fmt::format("{}m", s / 60) : fmt::format("{}m{}s", s / 60, s % 60);
  if (s < 3 * 3600) return fmt::format("{}m", s / 60);
  if (s < 48 * 3600) return fmt::format("{}h", s / 3600);
  return fmt::format("{}d", s / 86400);
}

std::string age_of(const std::string& since, WallTime now) {
  const auto time = parse_rfc3339(since);
  return time ? format_age(std::chrono::duration_cast<std::chrono::seconds>(now - *time)) : "-";
}

std::string format_loss(std::optional<double> loss) {
  if (!loss) return "-";
  if (!std::isfinite(*loss)) return std::isnan(*loss) ? "nan" : "inf";
  return std::abs(*loss) >= 1000 ? fmt::format("{:.3g}", *loss) : fmt::format("{:.4f}", *loss);
}

std::string format_percent(std::optional<double> fraction) {
  return fraction ? fmt::format("{:.2f}%", *fraction * 100) : "-";
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (const std::size_t skip = escape_length(text, at); skip > 0) {
      at += skip;
      continue;
    }
    if (!is_continuation(text[at])) ++width;
    ++at;
  }
  return width;
}

std::string clip(std::string_view text, std::size_t width) {
  std::string out;
  std::size_t columns = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (const std::size_t skip = escape_length(text, at); skip > 0) {
      out.append(text.substr(at, skip));
      at += skip;
      continue;
    }
    if (!is_continuation(text[at])) ++columns;
    if (columns <= width) out += text[at];
    ++at;
  }
  return out;
}

std::string printable_lines(std::string_view text, std::string_view between) {
  std::string out;
  while (true) {
    const std::size_t end = text.find('\n');
    out += printable(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    out += between;
    text.remove_prefix(end + 1);
  }
}

}  // namespace muster::cli
