// tests/common/permitted_path_test.cc: links and mapped volumes do not lead a pod to files that it must not
// touch
#include "common/platform/permitted_path.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>

#include "common/platform/volume_map.h"

namespace muster {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class PermittedPath : public ::testing::Test {
 protected:
  PermittedPath() {
    std::string name = (fs::temp_directory_path() / "permitted-XXXXXX").string();
    folder_ = fs::canonical(mkdtemp(name.data()));
    fs::create_directories(folder_ / "volume/inner");
    fs::create_directories(folder_ / "outside");
    fs::create_directory_symlink("inner", folder_ / "volume/within");
    fs::create_directory_symlink("../outside", folder_ / "volume/out");
    fs::create_symlink("/etc/passwd", folder_ / "volume/passwd");
    fs::create_directory_symlink("loop", folder_ / "volume/loop");
  }
  ~PermittedPath() override {
    unsetenv(kVolumeMapVariable);
    fs::remove_all(folder_);
  }
  // The answer, relative to the test's folder, or the error.
  [[nodiscard]] std::string shown(const Result<fs::path>& answer) const {
    if (!answer) return answer.error().message;
    return answer->lexically_relative(folder_).string();
  }
  [[nodiscard]] std::string storage(const std::string& path, const std::string& mount) const {
    return shown(permitted_storage(path, "spec.x", {mount}));
  }
  [[nodiscard]] std::string dataset(const std::string& path) const {
    return shown(permitted_dataset(path, "spec.x"));
  }
  fs::path folder_;
};

TEST_F(PermittedPath, StorageStaysInsideItsVolume) {
  const std::string volume = (folder_ / "volume").string();
  const struct {
    const char* path;
    const char* answer;
  } cases[] = {
      {"", "volume"},
      {"/new/deep", "volume/new/deep"},
      {"/within", "volume/inner"},
      {"/within/../x", "volume/x"},
      {"/out", "leads out of the volume"},
      {"/out/x", "leads out of the volume"},
      {"/passwd", "leads out of the volume"},
      {"/loop/x", "cannot be followed"},
      {"/../outside", "is in no volume"},
  };
  for (const auto& each : cases) {
    EXPECT_THAT(storage(volume + each.path, volume), HasSubstr(each.answer)) << each.path;
    setenv(kVolumeMapVariable, volume_map_text({{"/ckpt", volume}}).c_str(), 1);
    EXPECT_THAT(storage(std::string("/ckpt") + each.path, "/ckpt"), HasSubstr(each.answer)) << each.path;
    unsetenv(kVolumeMapVariable);
  }
  EXPECT_THAT(shown(permitted_storage(volume, "spec.x", {})), HasSubstr("is in no volume"));
  EXPECT_EQ(storage(volume + "/within", volume), "volume/inner");
}

TEST_F(PermittedPath, DatasetsAreNeverTheSystems) {
  const std::string volume = (folder_ / "volume").string();
  setenv(kVolumeMapVariable, volume_map_text({{"/data", volume}, {"/shared", "/dev"}}).c_str(), 1);
  EXPECT_EQ(dataset("/data/inner"), "volume/inner");
  EXPECT_EQ(dataset("/data/within/x.csv"), "volume/inner/x.csv");
  EXPECT_EQ(dataset("/data/out"), "outside") << "of the image";
  EXPECT_EQ(dataset(volume), "volume");
  EXPECT_TRUE(permitted_dataset("/shared/shm", "spec.x")) << "without a cluster a volume may lie anywhere";
  for (const std::string path :
       {"/data/passwd", "/etc/passwd", "/proc/self/environ", "/data/../run/x", "data"}) {
    const auto answer = permitted_dataset(path, "spec.x");
    ASSERT_FALSE(answer) << path;
    EXPECT_EQ(answer.error().code, Code::kInvalidArgument) << path;
    EXPECT_THAT(answer.error().message, HasSubstr("spec.x: \"" + path + "\"")) << path;
  }
}

TEST_F(PermittedPath, WhatLiesBelowIsFollowedToo) {
  const fs::path volume = folder_ / "volume";
  EXPECT_EQ(shown(permitted_storage_folder(volume, volume / "peer-0")), "volume/peer-0");
  EXPECT_EQ(shown(permitted_storage_folder(volume, volume / "within")), "volume/within");
  EXPECT_THAT(shown(permitted_storage_folder(volume, volume / "out")), HasSubstr("is a link that leads out"));
  EXPECT_THAT(shown(permitted_storage_folder(volume, volume / "loop")), HasSubstr("cannot be followed"));
  EXPECT_EQ(shown(permitted_dataset_file(volume, volume / "within/x")), "volume/within/x");
  EXPECT_EQ(shown(permitted_dataset_file(volume, volume / "out/x")), "volume/out/x") << "of the image";
  EXPECT_THAT(shown(permitted_dataset_file(volume, volume / "passwd")), HasSubstr("files of the system"));
  EXPECT_EQ(shown(permitted_dataset_file("/etc", "/etc/passwd")).find("link"), std::string::npos)
      << "whoever put the whole folder there means it";
}

}  // namespace
}  // namespace muster
