// tests/cli/output_folder_test.cc: what cli/output_folder promises
#include "cli/output_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temporary_folder.h"

namespace muster::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr const char* kManifest = R"(apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: ckpt}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
---
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: ring}
spec:
  workers:
    template:
      spec:
        containers: [{name: worker, volumeMounts: [{name: v, mountPath: /checkpoints}]}]
        volumes: [{name: v, persistentVolumeClaim: {claimName: ckpt}}]
  training: {checkpoint: {path: /checkpoints/a}}
)";

class OutputFolderTest : public ::testing::Test {
 protected:
  // "" or the message.
  std::string prepared() {
    const auto objects = parse_manifest(kManifest, "job.yaml");
    const Status ready = prepare_output(out_, *objects);
    return ready ? "" : ready.error().message;
  }
  static void write(const fs::path& file) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << "mine";
  }
  TemporaryFolder temporary_;
  fs::path out_ = temporary_.path() / "out";
};

TEST_F(OutputFolderTest, TakesAnEmptyPlaceAndWhatAnEarlierRunLeft) {
  EXPECT_EQ(prepared(), "");
  fs::create_directories(out_ / "volumes" / "default" / "ckpt" / "a");
  write(out_ / "ring" / "model.safetensors");
  write(out_ / "volumes" / "default" / "ckpt" / "a" / "model.safetensors");
  EXPECT_EQ(prepared(), "");
}

TEST_F(OutputFolderTest, ClaimsMayBeLinksToFolders) {
  fs::create_directories(temporary_.path() / "elsewhere");
  fs::create_directories(out_ / "volumes" / "default");
  fs::create_symlink(temporary_.path() / "elsewhere", out_ / "volumes" / "default" / "ckpt");
  EXPECT_EQ(prepared(), "");
}

TEST_F(OutputFolderTest, NamesWhatIsInTheWayOfAClaim) {
  fs::create_directories(out_ / "volumes" / "default");
  fs::create_symlink("/nonexistent", out_ / "volumes" / "default" / "ckpt");
  fs::create_symlink("data", out_ / "volumes" / "default" / "data");
  const std::string claims = (out_ / "volumes" / "default").string();
  EXPECT_EQ(prepared(),
            "job.yaml:3: PersistentVolumeClaim/ckpt: " + claims +
                "/ckpt is a link to /nonexistent, which does not exist; move it away, or choose another "
                "--output-dir\njob.yaml:7: PersistentVolumeClaim/data: " +
                claims +
                "/data is a link that leads back to itself; move it away, or choose another --output-dir");
}

TEST_F(OutputFolderTest, TellsAnObstacleOnce) {
  write(out_ / "volumes" / "default");
  EXPECT_EQ(prepared(), "job.yaml:3: PersistentVolumeClaim/ckpt: " + (out_ / "volumes" / "default").string() +
                            " is a file; move it away, or choose another --output-dir");
}

TEST_F(OutputFolderTest, NamesWhatIsInTheWayOfAJobsFiles) {
  write(out_ / "ring");
  EXPECT_THAT(prepared(), HasSubstr("DistributedJob/ring: " + (out_ / "ring").string() + " is a file"));
  fs::remove(out_ / "ring");
  fs::create_directories(out_ / "ring" / "model.safetensors");
  EXPECT_THAT(prepared(), HasSubstr("ring/model.safetensors is a folder"));
}

TEST_F(OutputFolderTest, NamesAFolderInPlaceOfTheModelInItsClaim) {
  fs::create_directories(out_ / "volumes" / "default" / "ckpt" / "a" / "model.safetensors");
  EXPECT_THAT(prepared(), HasSubstr("ckpt/a/model.safetensors is a folder"));
}

// It was trained to its end, and then its model could not be found.
TEST_F(OutputFolderTest, AModelFolderThatOnlyThePodKnowsIsRefusedBeforeAnythingRuns) {
  std::string manifest = kManifest;
  manifest.replace(manifest.find("mountPath: /checkpoints"), 23,
                   "mountPath: /checkpoints, subPathExpr: $(MUSTER_POD_NAME)");
  const Status status = check_model_folders(*parse_manifest(manifest, "job.yaml"));
  ASSERT_FALSE(status);
  EXPECT_THAT(
      status.error().message,
      HasSubstr("DistributedJob/ring: spec.training.checkpoint.path: /checkpoints is mounted by subPathExpr "
                "\"$(MUSTER_POD_NAME)\""));
  EXPECT_THAT(status.error().message, HasSubstr("mount it by subPath"));
}

// "one" was given the model of "two", and each removed the other's checkpoints.
TEST_F(OutputFolderTest, TwoJobsOfOneModelFolderAreRefused) {
  const auto checked = [](const std::string& other_path) {
    std::string other = kManifest;
    other = other.substr(other.rfind("---\n"));
    other.replace(other.find("name: ring"), 10, "name: star");
    other.replace(other.find("/checkpoints/a"), 14, other_path);
    const auto objects = parse_manifest(kManifest + other, "job.yaml");
    const Status status = check_model_folders(*objects);
    return status ? "" : status.error().message;
  };
  EXPECT_EQ(checked("/checkpoints/b"), "");
  EXPECT_EQ(checked("/checkpoints"), "");
  EXPECT_EQ(checked("/checkpoints/b/../a/"),
            "job.yaml:29: DistributedJob/star: spec.training.checkpoint.path: is the folder of "
            "DistributedJob/ring at job.yaml:18, too; give each a folder of its own");
}

}  // namespace
}  // namespace muster::cli
