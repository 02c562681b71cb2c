// tests/cli/manifest_test.cc: what cli/manifest promises
#include "cli/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kJob = R"(apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: ring}
spec:
  workers:
    replicas: -1
)";

std::string problem(const std::string& text) {
  const auto parsed = parse_manifest(text, "job.yaml");
  return parsed ? "no error" : parsed.error().message;
}

TEST(Manifest, FillsInTheNamespaceAndRemembersLines) {
  const auto parsed = parse_manifest(kJob, "job.yaml");
  ASSERT_TRUE(parsed) << parsed.error().message;
  const ManifestObject& job = parsed->front();
  EXPECT_EQ(job.title(), "DistributedJob/ring");
  EXPECT_TRUE(job.is_job());
  EXPECT_EQ(job.value["metadata"]["namespace"], "default");
  EXPECT_EQ(job.where("spec.workers.replicas"), "job.yaml:6");
  EXPECT_EQ(job.where("spec.workers.template.spec"), "job.yaml:5") << "the nearest parent that was written";
}

TEST(Manifest, NamesTheSupportedKindsWhenOneIsUnknown) {
  const std::string message = problem("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n");
  EXPECT_THAT(message, StartsWith("job.yaml:2: unknown kind 'Deployment'"));
  EXPECT_THAT(message, HasSubstr("DistributedJob (muster.dev/v1alpha1)"));
}

TEST(Manifest, TellsTheRightApiVersionOfAKnownKind) {
  EXPECT_THAT(problem("apiVersion: muster.dev/v1\nkind: DistributedJob\nmetadata: {name: x}\n"),
              HasSubstr("write apiVersion: muster.dev/v1alpha1"));
}

TEST(Manifest, RefusesObjectsWithoutKindNameOrShape) {
  EXPECT_THAT(problem("metadata: {name: x}\n"), HasSubstr("has no apiVersion"));
  EXPECT_THAT(problem("apiVersion: v1\nmetadata: {name: x}\n"), HasSubstr("has no kind"));
  EXPECT_THAT(problem("apiVersion: v1\nkind: Pod\n"), HasSubstr("no metadata.name"));
  EXPECT_THAT(problem("- a\n- b\n"), HasSubstr("must be a map"));
  EXPECT_THAT(problem("hello\n"), HasSubstr("must be a map"));
}

TEST(Manifest, RefusesMetadataThatIsNoTextAsKubectlDoes) {
  const std::string pod = "apiVersion: v1\nkind: Pod\nmetadata:\n";
  EXPECT_EQ(problem("apiVersion: 1\nkind: Pod\n"),
            "job.yaml:1: apiVersion must be text, is 1; put it in double quotes");
  EXPECT_EQ(problem("apiVersion: v1\nkind: {}\n"), "job.yaml:2: kind must be text, is object");
  EXPECT_EQ(problem(pod + "  name: 5\n"),
            "job.yaml:4: metadata.name must be text, is 5; put it in double quotes");
  EXPECT_EQ(problem(pod + "  name: y\n"),
            "job.yaml:4: metadata.name must be text, is true; put it in double quotes");
  EXPECT_EQ(problem(pod + "  name: x\n  annotations:\n    a: fine\n    b.c/d: no\n"),
            "job.yaml:7: metadata.annotations.b.c/d must be text, is false; put it in double quotes");
  EXPECT_EQ(problem(pod + "  name: x\n  labels: {a: 1}\n"),
            "job.yaml:5: metadata.labels.a must be text, is 1; put it in double quotes");
}

TEST(Manifest, TakesAPrefixOfTheNameAsKubectlCreateDoes) {
  const std::string text =
      "apiVersion: muster.dev/v1alpha1\nkind: DistributedJob\nmetadata: {generateName: ring-}\nspec: {}\n";
  auto parsed = parse_manifest(text + "---\n" + text, "job.yaml");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->front().name, "");
  EXPECT_EQ(parsed->front().title(), "DistributedJob/ring-*");
  EXPECT_EQ(parsed->front().value["metadata"]["namespace"], "default");
  EXPECT_TRUE(check_together(*parsed)) << "each gets a name of its own";
}

TEST(Manifest, ReadsTheItemsOfAListWithTheirLines) {
  const auto parsed = parse_manifest(
      "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: "
      "conf\n",
      "l.yaml");
  ASSERT_TRUE(parsed) << parsed.error().message;
  ASSERT_EQ(parsed->size(), 1U);
  EXPECT_EQ(parsed->front().title(), "ConfigMap/conf");
  EXPECT_EQ(parsed->front().where("metadata.name"), "l.yaml:7");
}

TEST(Manifest, PutsWhatOthersReferToFirst) {
  auto parsed =
      parse_manifest(std::string(kJob) +
                         "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\n"
                         "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n",
                     "all.yaml");
  ASSERT_TRUE(parsed) << parsed.error().message;
  ASSERT_TRUE(check_together(*parsed));
  EXPECT_EQ(parsed->at(0).title(), "Namespace/team");
  EXPECT_EQ(parsed->at(1).title(), "PersistentVolumeClaim/data");
  EXPECT_EQ(parsed->at(2).title(), "DistributedJob/ring");
}

TEST(Manifest, RefusesTheSameObjectTwice) {
  auto parsed = parse_manifest(std::string(kJob) + "---\n" + kJob, "twice.yaml");
  ASSERT_TRUE(parsed);
  const Status together = check_together(*parsed);
  ASSERT_FALSE(together);
  EXPECT_THAT(together.error().message, HasSubstr("already given at twice.yaml:3"));
}

}  // namespace
}  // namespace muster::cli
