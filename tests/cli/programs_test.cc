// tests/cli/programs_test.cc: what cli/programs promises (the programs that a run's jobs need beside
// `muster`)
#include "cli/programs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temporary_folder.h"

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

TEST(Programs, ParameterServersAreOursWhereTheWorkersBringTheirImage) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("/bin/true", folder.path() / "muster-operator");
  const auto needed = [&](const std::string& topology) {
    return check_programs(job("{training: {}, synchronization: {topology: " + topology +
                              "}, workers: {template: {spec: {containers: [{name: worker, image: x}]}}}}"),
                          folder.path());
  };
  EXPECT_TRUE(needed("Ring"));
  const Status missing = needed("ParameterServer");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, ::testing::HasSubstr("muster-worker, which is missing"));
}

TEST(Programs, WantsNothingForObjectsThatAreNoJobs) {
  auto parsed = parse_manifest("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n", "c.yaml");
  EXPECT_TRUE(check_programs(*parsed, "/nowhere"));
}

}  // namespace
}  // namespace muster::cli
