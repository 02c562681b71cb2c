// tests/cli/apply_test.cc: what cli/apply promises
#include "cli/apply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/check_spec.h"

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

std::string judged(const std::string& text) {
  const auto parsed = parse_manifest(text, "job.yaml");
  const Status judged = check_spec(parsed->front(), parsed->front().value);
  return judged ? "fine" : judged.error().message;
}

constexpr const char* kJob = R"(apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: ring}
spec:
  workers:
    template:
      spec:
        containers:
        - name: worker
          env:
          - name: A
)";
constexpr const char* kRound = R"(apiVersion: muster.dev/v1alpha1
kind: FederatedRound
metadata: {name: phones}
spec:
  rounds: 1
  training: {model: {name: softmax}, dataset: {name: synthetic}}
  clients: {count: 4}
  cohort:
    size: 4
)";

TEST(CheckSpec, RefusesWhatTheOperatorWouldCallInvalidSpecWithTheLine) {
  EXPECT_EQ(judged(std::string(kJob) + "  training: {model: {name: softmax}, dataset: {name: synthetic}}\n"),
            "fine");
  EXPECT_EQ(judged(std::string(kJob) + "          - name: MUSTER_POD_NAME\n"
                                       "  training: {model: {name: softmax}, dataset: {name: synthetic}}\n"),
            "job.yaml:12: spec.workers.template.spec.containers[0].env[1].name: MUSTER_POD_NAME is set by "
            "Muster; remove it");
  EXPECT_THAT(
      judged(std::string(kJob) + "  training:\n    model: {name: softmax}\n    dataset:\n      name: csv\n"
                                 "      path: data/x.csv\n"),
      ::testing::StartsWith("job.yaml:16: spec.training.dataset.path: \"data/x.csv\" is not absolute"));
}

TEST(CheckSpec, JudgesFederationsToo) {
  EXPECT_EQ(judged(kRound), "fine");
  EXPECT_THAT(judged(std::string(kRound) + "    overSelection: 1.1\n"),
              ::testing::StartsWith("job.yaml:7: spec.cohort: size 4 with overSelection 1.1 selects 5"));
}

TEST(CheckSpec, LeavesOtherKindsToTheServer) {
  EXPECT_EQ(judged("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {nonsense: 1}\n"), "fine");
}

}  // namespace
}  // namespace muster::cli
