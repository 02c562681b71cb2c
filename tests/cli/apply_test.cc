// tests/cli/apply_test.cc: what cli/apply promises
#include "cli/apply.h"

#include <gtest/gtest.h>

namespace muster::cli {
namespace {

ManifestObject object() {
  auto parsed = parse_manifest(
      "apiVersion: muster.dev/v1alpha1\nkind: DistributedJob\nmetadata:\n  name: ring\nspec:\n  workers:\n"
      "    replicas: -1\n  training:\n    modle: {name: cnn}\n",
      "job.yaml");
  return std::move(parsed->front());
}

TEST(Locate, FindsTheLineOfTheFieldThatTheServerNames) {
  EXPECT_EQ(locate(object(), "spec.workers.replicas: Invalid value: -1"),
            "job.yaml:7: spec.workers.replicas: Invalid value: -1");
  EXPECT_EQ(locate(object(), "strict decoding error: unknown field \"spec.training.modle\""),
            "job.yaml:9: strict decoding error: unknown field \"spec.training.modle\"");
}

TEST(Locate, FallsBackToTheObject) {
  EXPECT_EQ(locate(object(), "spec.training.model: Required value"),
            "job.yaml:2: spec.training.model: Required value");
}

}  // namespace
}  // namespace muster::cli
