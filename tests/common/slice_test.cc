// tests/common/slice_test.cc: parts of anything
#include "common/base/slice.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

TEST(Slice, PartsTileTheWholeAndDifferByOneAtMost) {
  for (std::int64_t count = 0; count < 40; ++count) {
    for (std::int64_t parts = 1; parts < 9; ++parts) {
      std::int64_t end = 0;
      for (std::int64_t i = 0; i < parts; ++i) {
        const Slice slice = slice_of(count, i, parts);
        EXPECT_EQ(slice.begin, end);
        EXPECT_EQ(slice.size(), count / parts + (i < count % parts ? 1 : 0)) << count << " in " << parts;
        end = slice.end;
      }
      EXPECT_EQ(end, count);
    }
  }
}

}  // namespace
}  // namespace muster
