// tests/common/text_test.cc: text of bounded length that steers no terminal
#include "common/base/text.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

TEST(Clip, CutsBetweenCharacters) {
  EXPECT_EQ(clip("abc", 3), "abc");
  EXPECT_EQ(clip("abc", 2), "ab");
  EXPECT_EQ(clip("a\u00e9", 2), "a");  // two bytes
  EXPECT_EQ(clip("a\u00e9", 3), "a\u00e9");
  EXPECT_EQ(clip("\U0001f600", 3), "");  // four bytes
  EXPECT_EQ(clip("", 5), "");
}

TEST(Printable, ReplacesWhatSteersATerminal) {
  EXPECT_EQ(printable("a\x1b[2Jb\nc\td\x7f"), "a?[2Jb?c\td?");
  EXPECT_EQ(printable("\u009b2J"), "??2J") << "C1's control sequence introducer";
  EXPECT_EQ(printable("\u00e9\u00a0\U0001f600"), "\u00e9\u00a0\U0001f600");
  EXPECT_EQ(printable("\xC2"), "\xC2");
}

}  // namespace
}  // namespace muster
