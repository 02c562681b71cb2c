// tests/cli/programs_test.cc: what cli/programs promises (the programs that a run's jobs need beside
// `muster`)
#include "cli/programs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::cli {
namespace {

std::vector<ManifestObject> job(const std::string& spec) {
  auto parsed = parse_manifest(
      "apiVersion: muster.dev/v1alpha1\nkind: DistributedJob\nmetadata: {name: ring}\nspec: " + spec + "\n",
      "job.yaml");
  return std::move(*parsed);
}

TEST(Programs, NamesTheMissingBinaryTheObjectAndTheRemedy) {
  const Status missing = check_programs(job("{training: {}}"), "/nowhere");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message,
              ::testing::AllOf(::testing::HasSubstr("DistributedJob/ring needs /nowhere/muster-"),
                               ::testing::HasSubstr("./dev build")));
}

TEST(Programs, WantsNothingForObjectsThatAreNoJobs) {
  auto parsed = parse_manifest("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n", "c.yaml");
  EXPECT_TRUE(check_programs(*parsed, "/nowhere"));
}

}  // namespace
}  // namespace muster::cli
