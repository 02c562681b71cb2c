// tests/cli/storage_test.cc: what cli/storage promises
#include "cli/storage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/builders.h"

namespace muster::cli {
namespace {

using testing::federated;
using testing::job;

Json with_volume(const Json& volume, const std::string& mount_path) {
  Json object = job().json;
  Json named = volume;
  named["name"] = "v";
  object["spec"]["workers"]["template"]["spec"] = {
      {"containers",
       {{{"name", "sidecar"}},
        {{"name", "worker"}, {"volumeMounts", {{{"name", "v"}, {"mountPath", mount_path}}}}}}},
      {"volumes", {named}}};
  return object;
}

const Json kClaim{{"persistentVolumeClaim", {{"claimName", "ckpt"}}}};

TEST(Storage, FindsTheFolderOfAClaim) {
  EXPECT_EQ(find_model_folder(with_volume(kClaim, "/checkpoints"), "out/volumes").path,
            "out/volumes/default/ckpt/ring");
  EXPECT_EQ(
      find_model_folder(with_volume(kClaim, "/checkpoints/ring/"), "out/volumes").path.lexically_normal(),
      "out/volumes/default/ckpt/");
}

TEST(Storage, DoesNotTakeAPathForBelowAMountThatItOnlyBeginsWith) {
  EXPECT_EQ(find_model_folder(with_volume(kClaim, "/check"), "out/volumes").path, "/checkpoints/ring");
}

TEST(Storage, FindsAFolderOfTheHost) {
  EXPECT_EQ(find_model_folder(with_volume({{"hostPath", {{"path", "/srv"}}}}, "/checkpoints"), "v").path,
            "/srv/ring");
}

TEST(Storage, SaysWhyAnEmptyDirKeepsNothing) {
  const ModelFolder folder =
      find_model_folder(with_volume({{"emptyDir", Json::object()}}, "/checkpoints"), "v");
  EXPECT_TRUE(folder.path.empty());
  EXPECT_THAT(folder.why, ::testing::HasSubstr("persistentVolumeClaim"));
}

TEST(Storage, RefusesToLeaveTheVolume) {
  Json object = with_volume(kClaim, "/checkpoints");
  object["spec"]["training"]["checkpoint"]["path"] = "/checkpoints/../../../etc";
  EXPECT_TRUE(find_model_folder(object, "v").path.empty());
}

TEST(Storage, ReadsTheAggregatorsTemplateOfAFederation) {
  Json object = federated().json;
  object["spec"]["aggregator"]["template"]["spec"] = {
      {"containers",
       {{{"name", "aggregator"}, {"volumeMounts", {{{"name", "m"}, {"mountPath", "/model"}}}}}}},
      {"volumes", {{{"name", "m"}, {"persistentVolumeClaim", {{"claimName", "models"}}}}}}};
  EXPECT_EQ(find_model_folder(object, "v").path.lexically_normal(), "v/default/models/");
}

TEST(Storage, SaysWhichFieldKeepsAModel) {
  Json object = job().json;
  object["spec"]["training"].erase("checkpoint");
  EXPECT_THAT(find_model_folder(object, "v").why, ::testing::HasSubstr("spec.training.checkpoint.path"));
}

}  // namespace
}  // namespace muster::cli
