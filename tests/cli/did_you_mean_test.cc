// tests/cli/did_you_mean_test.cc: what cli/did_you_mean promises
#include "cli/did_you_mean.h"

#include <gtest/gtest.h>

namespace muster::cli {
namespace {

const std::vector<std::string> kVerbs{"run", "get", "logs", "describe", "plot", "local", "version"};

TEST(DidYouMean, FindsTheNearestWord) {
  EXPECT_EQ(nearest_word("rnu", kVerbs), "run") << "neighbours swapped";
  EXPECT_EQ(nearest_word("log", kVerbs), "logs") << "a letter lost";
  EXPECT_EQ(nearest_word("descripe", kVerbs), "describe") << "a letter replaced";
  EXPECT_EQ(nearest_word("pllot", kVerbs), "plot") << "a letter added";
}

TEST(DidYouMean, DoesNotGuess) {
  EXPECT_EQ(nearest_word("frobnicate", kVerbs), "");
  EXPECT_EQ(nearest_word("xy", kVerbs), "") << "every short word is two slips from another";
  EXPECT_EQ(nearest_word("", kVerbs), "");
  EXPECT_EQ(nearest_word(std::string(1'000'000, 'r'), kVerbs), "");
}

}  // namespace
}  // namespace muster::cli
