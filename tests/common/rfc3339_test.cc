// tests/common/rfc3339_test.cc: times of objects, logs and credentials
#include "common/base/rfc3339.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

TEST(Rfc3339, ReadsWhatItWrites) {
  const auto time = parse_rfc3339("2026-01-02T03:04:05.000000006Z");
  ASSERT_TRUE(time);
  EXPECT_EQ(rfc3339(*time), "2026-01-02T03:04:05Z");
  EXPECT_EQ(rfc3339_micro(*time + std::chrono::microseconds(7)), "2026-01-02T03:04:05.000007Z");
  EXPECT_EQ(rfc3339_nano(*time), "2026-01-02T03:04:05.000000006Z");
  EXPECT_EQ(rfc3339(WallTime(std::chrono::milliseconds(-1))), "1969-12-31T23:59:59Z");
}

TEST(Rfc3339, ReadsZonesFractionsAndLeapSeconds) {
  const auto reads = [](const char* text) {
    const auto time = parse_rfc3339(text);
    return time ? rfc3339_nano(*time) : "nothing";
  };
  EXPECT_EQ(reads("2026-01-02T03:04:05+02:00"), "2026-01-02T01:04:05.000000000Z");
  EXPECT_EQ(reads("2026-01-02t03:04:05.5-00:30"), "2026-01-02T03:34:05.500000000Z");
  EXPECT_EQ(reads("2024-02-29T00:00:00.1234567891z"), "2024-02-29T00:00:00.123456789Z");
  EXPECT_EQ(reads("2016-12-31T23:59:60Z"), "2017-01-01T00:00:00.000000000Z");
}

TEST(Rfc3339, StaysWithinWhatTheClockCanTell) {
  const auto late = parse_rfc3339("9999-12-31T23:59:59Z");
  ASSERT_TRUE(late);
  EXPECT_GT(*late, *parse_rfc3339("2190-01-01T00:00:00Z"));
  EXPECT_LT(*parse_rfc3339("0001-01-01T00:00:00Z"), *parse_rfc3339("1800-01-01T00:00:00Z"));
}

TEST(Rfc3339, RefusesWhatIsNoTime) {
  for (const char* bad :
       {"", "yesterday", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:05Zx", "2026-02-30T00:00:00Z",
        "2025-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-02T24:00:00Z",
        "2026-01-02T03:60:05Z", "2026-01-02 03:04:05Z", "2026-1-2T03:04:05Z", "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05+2:00", "2026-01-02T03:04:05+02", "+026-01-02T03:04:05Z"}) {
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
  }
}

}  // namespace
}  // namespace muster
