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
    EXPECT_EQ(read->address, "[fd00::5]:8471");
    EXPECT_FALSE(read->hung);
  }
  ASSERT_TRUE(standstill_in(hung_words(name)));
  EXPECT_TRUE(standstill_in(hung_words(name))->hung);
}

TEST(NamedRank, IsTheLastOneForItIsTheCause) {
  for (const char* words :
       {"rank 2 (b:2) closed the connection at step 31", "rank 1 (a:1) ended: rank 2 (b:2) closed it",
        "rank 2 (b:2) stands still: a rank 7 of no address"}) {
    const auto named = named_rank_in(words);
    ASSERT_TRUE(named) << words;
    EXPECT_EQ(named->rank, 2) << words;
    EXPECT_EQ(named->address, "b:2") << words;
  }
  for (const char* words :
       {"", "rank", "rank 2", "rank 2 (", "rank x (a:1)", "the ring was aborted", "rank 2 ()"})
    EXPECT_FALSE(named_rank_in(words)) << words;
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
