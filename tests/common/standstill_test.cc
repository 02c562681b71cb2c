// tests/common/standstill_test.cc: which rank stands still, by the words of its peers
#include "common/pods/standstill.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

TEST(Standstill, IsReadAsItWasWrittenWhateverStandsAround) {
  const std::string name = rank_name(17, "[fd00::5]:8471");
  EXPECT_EQ(name, "rank 17 ([fd00::5]:8471)");
  for (const std::string& words :
       {silent_words(name, 850), "rank 1 (a:1) ended: " + silent_words(name, 850)}) {
    const auto read = standstill_in(words);
    ASSERT_TRUE(read) << words;
    EXPECT_EQ(read->rank, 17);
    EXPECT_FALSE(read->hung);
  }
  ASSERT_TRUE(standstill_in(hung_words(name)));
  EXPECT_TRUE(standstill_in(hung_words(name))->hung);
}

TEST(Standstill, OtherWordsNameNobody) {
  for (const char* words :
       {"", "rank 2 (a:1) closed the connection", " stands still: ", "rank  stands still: x",
        "rank x stands still: x", "rank 99999999999999999999 (a) stands still: x", "rank 2x stands still: x",
        "the clock stands still: x"})
    EXPECT_FALSE(standstill_in(words)) << words;
}

}  // namespace
}  // namespace muster
