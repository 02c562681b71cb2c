// common/base/rfc3339.cc: the fields of a time, in both directions
#include "common/base/rfc3339.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

namespace muster {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

// `fraction`: how many digits of it.
std::string written(WallTime time, int fraction) {
  const auto whole = std::chrono::floor<seconds>(time);
  const std::time_t since = std::chrono::system_clock::to_time_t(whole);
  std::tm t{};
  gmtime_r(&since, &t);
  std::array<char, 64> text{};
  const int size = std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%09lld",
                                 t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
                                 static_cast<long long>(nanoseconds(time - whole).count()));
  std::string out(text.data(), static_cast<std::size_t>(size));
  out.resize(out.size() - (fraction == 0 ? 10U : static_cast<std::size_t>(9 - fraction)));
  return out + "Z";
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  // Exactly so many digits.
  bool number(int digits, int& out) {
    out = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      if (!is_digit()) return false;
      out = out * 10 + (text_[at_] - '0');
    }
    return true;
  }
  bool one_of(std::string_view wanted, char* found = nullptr) {
    if (at_ == text_.size() || wanted.find(text_[at_]) == std::string_view::npos) return false;
    if (found != nullptr) *found = text_[at_];
    ++at_;
    return true;
  }
  bool fraction(nanoseconds& out) {
    if (!is_digit()) return false;
    for (std::int64_t unit = 100'000'000; is_digit(); ++at_, unit /= 10)
      out += nanoseconds((text_[at_] - '0') * unit);
    return true;
  }
  [[nodiscard]] bool at_end() const { return at_ == text_.size(); }

 private:
  [[nodiscard]] bool is_digit() const { return at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::string rfc3339(WallTime time) { return written(time, 0); }
std::string rfc3339_micro(WallTime time) { return written(time, 6); }
std::string rfc3339_nano(WallTime time) { return written(time, 9); }

WallTime clock_time(std::int64_t since) {
  constexpr std::int64_t kSecondsMax = 7'000'000'000;
  return WallTime(seconds(std::clamp(since, -kSecondsMax, kSecondsMax)));
}

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  Reader in(text);
  std::tm t{};
  if (!in.number(4, t.tm_year) || !in.one_of("-") || !in.number(2, t.tm_mon) || !in.one_of("-") ||
      !in.number(2, t.tm_mday) || !in.one_of("Tt") || !in.number(2, t.tm_hour) || !in.one_of(":") ||
      !in.number(2, t.tm_min) || !in.one_of(":") || !in.number(2, t.tm_sec))
    return std::nullopt;
  nanoseconds fraction{0};
  if (in.one_of(".") && !in.fraction(fraction)) return std::nullopt;
  seconds offset{0};
  char sign = 'Z';
  if (!in.one_of("Zz+-", &sign)) return std::nullopt;
  if (sign == '+' || sign == '-') {
    int hours = 0;
    int minutes = 0;
    if (!in.number(2, hours) || !in.one_of(":") || !in.number(2, minutes) || hours > 23 || minutes > 59)
      return std::nullopt;
    offset = std::chrono::minutes(hours * 60 + minutes) * (sign == '-' ? -1 : 1);
  }
  if (!in.at_end() || t.tm_mon < 1 || t.tm_mon > 12 || t.tm_mday < 1 || t.tm_mday > 31 || t.tm_hour > 23 ||
      t.tm_min > 59 || t.tm_sec > 60)
    return std::nullopt;
  t.tm_year -= 1900;
  t.tm_mon -= 1;
  std::tm day = t;
  day.tm_hour = day.tm_min = day.tm_sec = 0;
  (void)timegm(&day);
  if (day.tm_mday != t.tm_mday) return std::nullopt;  // 30 February
  return clock_time(timegm(&t)) - offset + std::chrono::duration_cast<WallTime::duration>(fraction);
}

}  // namespace muster
