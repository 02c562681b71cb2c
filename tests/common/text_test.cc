// tests/common/text_test.cc: text of bounded length
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

}  // namespace
}  // namespace muster
