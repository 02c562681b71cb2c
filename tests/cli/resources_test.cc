// tests/cli/resources_test.cc: what cli/resources promises (what people call the kinds that `get` and
// `describe` know)
#include "cli/resources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::cli {
namespace {

TEST(Resources, AreKnownByShortNamePluralKindAndFullName) {
  for (const char* word : {"dj", "distributedjobs", "DistributedJob", "distributedjobs.muster.dev"}) {
    const auto found = find_resource(word);
    ASSERT_TRUE(found) << word;
    EXPECT_EQ(found->kind, "DistributedJob");
  }
  EXPECT_EQ(find_resource("po")->plural, "pods");
}

TEST(Resources, ListsTheKnownOnesForAnUnknownWord) {
  const auto unknown = find_resource("jbo");
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, ::testing::HasSubstr("distributedjobs (dj)"));
}

TEST(Resources, SplitsKindFromName) {
  EXPECT_EQ(split_slash("dj/ring")->name, "ring");
  EXPECT_FALSE(split_slash("ring"));
  EXPECT_FALSE(split_slash("/ring"));
  EXPECT_FALSE(split_slash("dj/"));
}

}  // namespace
}  // namespace muster::cli
