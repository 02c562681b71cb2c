// tests/cli/storage_test.cc: what cli/storage promises
#include "cli/storage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/spec/paths.h"
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
  EXPECT_EQ(find_model_folder(with_volume(kClaim, "/checkpoints/ring/"), "out/volumes").path,
            "out/volumes/default/ckpt");
}

TEST(Storage, DoesNotTakeAPathForBelowAMountThatItOnlyBeginsWith) {
  const ModelFolder folder = find_model_folder(with_volume(kClaim, "/check"), "out/volumes");
  EXPECT_TRUE(folder.path.empty());  // the operator refuses such a spec
  EXPECT_THAT(folder.why, ::testing::HasSubstr("in no volume"));
}

// The operator takes these paths, and the pod writes there: it must be where the model is looked for, too.
TEST(Storage, FindsTheFolderHoweverThePathsAreSpelt) {
  struct Case {
    const char* mount;
    const char* path;
    const char* folder;
  };
  for (const Case& one :
       {Case{"/ckpt", "//ckpt/m", "v/default/ckpt/m"}, Case{"/ckpt", "/ckpt/a/../b", "v/default/ckpt/b"},
        Case{"/ckpt", "/ckpt/../ckpt/o", "v/default/ckpt/o"}, Case{"//ckpt/", "/ckpt/o/", "v/default/ckpt/o"},
        Case{"/a/../ckpt", "/ckpt/./o", "v/default/ckpt/o"}, Case{"ckpt", "/ckpt", "v/default/ckpt"},
        Case{"/", "/ckpt/o", "v/default/ckpt/ckpt/o"}}) {
    Json object = with_volume(kClaim, one.mount);
    object["spec"]["training"]["checkpoint"]["path"] = one.path;
    EXPECT_EQ(find_model_folder(object, "v").path, one.folder) << one.mount << " " << one.path;
    EXPECT_TRUE(spec::storage_mount(one.path, "f", {{.path = one.mount}}, ""))
        << one.mount << " " << one.path;
  }
}

TEST(Storage, ASubPathIsPartOfTheFolderAndAnExpressionIsNobodysToFind) {
  Json object = with_volume(kClaim, "/checkpoints");
  Json& mount = object["spec"]["workers"]["template"]["spec"]["containers"][1]["volumeMounts"][0];
  mount["subPath"] = "a/b";
  EXPECT_EQ(find_model_folder(object, "v").path, "v/default/ckpt/a/b/ring");
  for (const char* outside : {"..", "../../other", "a/../../b", "/etc"}) {
    mount["subPath"] = outside;
    const ModelFolder refused = find_model_folder(object, "v");
    EXPECT_TRUE(refused.path.empty() && refused.lost) << outside;
    EXPECT_THAT(refused.why, ::testing::HasSubstr("leads out of its volume")) << outside;
  }
  mount.erase("subPath");
  mount["subPathExpr"] = "plain";
  EXPECT_EQ(find_model_folder(object, "v").path, "v/default/ckpt/plain/ring");
  mount["subPathExpr"] = "runs/$(MUSTER_POD_NAME)";
  const ModelFolder folder = find_model_folder(object, "v");
  EXPECT_TRUE(folder.path.empty() && folder.lost);
  EXPECT_THAT(folder.why, ::testing::HasSubstr("mount it by subPath"));
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
  EXPECT_EQ(find_model_folder(object, "v").path, "v/default/models");
}

TEST(Storage, SaysWhichFieldKeepsAModel) {
  Json object = job().json;
  object["spec"]["training"].erase("checkpoint");
  EXPECT_THAT(find_model_folder(object, "v").why, ::testing::HasSubstr("spec.training.checkpoint.path"));
}

}  // namespace
}  // namespace muster::cli
