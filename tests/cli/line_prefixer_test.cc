// tests/cli/line_prefixer_test.cc: what cli/line_prefixer promises (a stream of bytes as whole lines, each
// behind a prefix)
#include "cli/line_prefixer.h"

#include <gtest/gtest.h>

namespace muster::cli {
namespace {

TEST(LinePrefixer, PrefixesWholeLinesHoweverTheBytesWereCut) {
  LinePrefixer lines("[worker-2] ");
  EXPECT_EQ(lines.feed("on"), "");
  EXPECT_EQ(lines.feed("e\ntw"), "[worker-2] one\n");
  EXPECT_EQ(lines.feed("o\n\n"), "[worker-2] two\n[worker-2] \n");
  EXPECT_EQ(lines.feed("end"), "");
  EXPECT_EQ(lines.finish(), "[worker-2] end\n");
  EXPECT_EQ(lines.finish(), "");
}

TEST(LinePrefixer, BreaksALineThatNeverEnds) {
  LinePrefixer lines("> ");
  EXPECT_EQ(lines.feed(std::string(70'000, 'x')).size(), 65'536U + 3);
}

}  // namespace
}  // namespace muster::cli
