// tests/cli/format_test.cc: what cli/format promises (numbers, sizes and times as people read them)
#include "cli/format.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cli/table.h"
#include "common/base/rfc3339.h"

namespace muster::cli {
namespace {

TEST(Format, WritesBytesInPowersOfAThousandWithThreeDigits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(1000), "1.00 kB");
  EXPECT_EQ(format_bytes(12'345), "12.3 kB");
  EXPECT_EQ(format_bytes(999'600), "1.00 MB");
  EXPECT_EQ(format_bytes(123'456'789), "123 MB");
  EXPECT_EQ(format_bytes(UINT64_MAX), "18447 PB");
}

TEST(Format, GroupsDigitsByThousands) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(-1234567), "-1,234,567");
}

TEST(Format, WritesDurationsInTheUnitThatFits) {
  using std::chrono::milliseconds;
  EXPECT_EQ(format_duration(milliseconds(0)), "0.0s");
  EXPECT_EQ(format_duration(milliseconds(4210)), "4.2s");
  EXPECT_EQ(format_duration(milliseconds(59'400)), "59s");
  EXPECT_EQ(format_duration(milliseconds(59'700)), "1m00s");
  EXPECT_EQ(format_duration(milliseconds(3'725'000)), "1h02m");
  EXPECT_EQ(format_duration(milliseconds(-5)), "0.0s");
}

TEST(Format, TellsLossesThatAreNoNumbers) {
  EXPECT_EQ(format_loss(std::nullopt), "-");
  EXPECT_EQ(format_loss(std::nan("")), "nan");
  EXPECT_EQ(format_loss(0.41234), "0.4123");
}

TEST(Format, CountsColumnsNotBytesNorEscapeSequences) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("█▏·"), 3U);
  EXPECT_EQ(display_width("\x1b[1;31mred\x1b[0m"), 3U);
}

TEST(Format, ClipsByColumnsAndKeepsEscapeSequencesWhole) {
  EXPECT_EQ(clip("█████", 2), "██");
  EXPECT_EQ(clip("\x1b[1mbold\x1b[0m", 2), "\x1b[1mbo\x1b[0m");
}

TEST(Table, AlignsColumnsAndLeavesNoBlanksAtLineEnds) {
  EXPECT_EQ(render_table({{"NAME", "PHASE"}, {"ring", "Running"}, {"a-long-name"}}),
            "NAME          PHASE\nring          Running\na-long-name\n");
}

}  // namespace
}  // namespace muster::cli
