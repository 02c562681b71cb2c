// tests/common/volume_map_test.cc: paths of the manifest become this machine's paths, whatever their names
// hold
#include "common/platform/volume_map.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace muster {
namespace {

TEST(VolumeMap, SurvivesEveryNameOfAFolder) {
  const VolumeMap map{{"/data", "/out/2024-05-01T12:30:00/a=b,c;d e"},
                      {"/a=b", "/out/\"quoted\"\\and\nbroken"},
                      {"/data:2", "/out/g\xc3\xbcnstig"}};
  const auto read = parse_volume_map(volume_map_text(map));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, map);
}

TEST(VolumeMap, ResolvesByTheLongestMount) {
  const VolumeMap map{{"/data", "/re:al"}, {"/data/deep", "/other"}};
  EXPECT_EQ(resolve_mount("/data/x", map), "/re:al/x");
  EXPECT_EQ(resolve_mount("/data/deep/x", map), "/other/x");
  EXPECT_EQ(resolve_mount("//data/./x", map), "/re:al/x");
  EXPECT_EQ(resolve_mount("/data/../data/deep/", map), "/other");
  EXPECT_EQ(resolve_mount("/database", map), "/database");
  EXPECT_EQ(resolve_mount("/data", map), "/re:al");
  EXPECT_EQ(resolve_mount("", map), "");
}

TEST(VolumeMap, HowAMountIsSpeltChangesNothing) {
  EXPECT_EQ(resolve_mount("/data/x", {{"/data/", "/real"}}), "/real/x");
  EXPECT_EQ(resolve_mount("/data/x", {{"//data", "/real"}}), "/real/x");
  EXPECT_EQ(resolve_mount("/data/x", {{"/a/../data", "/real"}}), "/real/x");
  EXPECT_EQ(resolve_mount("/data/x", {{"/", "/real"}}), "/real/data/x");
  EXPECT_EQ(resolve_mount("/", {{"/", "/real"}}), "/real");
  EXPECT_EQ(resolve_mount("data/x", {{"/", "/real"}}), "data/x");
}

TEST(VolumeMap, IsReadFromTheEnvironment) {
  setenv(kVolumeMapVariable, R"({"/data": "/real"})", 1);
  EXPECT_EQ(resolve_mount("/data/x"), "/real/x");
  unsetenv(kVolumeMapVariable);
  EXPECT_EQ(resolve_mount("/data/x"), "/data/x");
}

TEST(VolumeMap, SaysWhatItShouldBe) {
  for (const char* bad : {"/data=/real:/x=/y", "[]", "{", R"({"/data": 1})", R"({"data": "/real"})"}) {
    setenv(kVolumeMapVariable, bad, 1);
    const auto map = volume_map_of_environment();
    ASSERT_FALSE(map) << bad;
    EXPECT_NE(map.error().message.find("MUSTER_VOLUME_MAP is not a JSON object"), std::string::npos);
  }
  unsetenv(kVolumeMapVariable);
}

}  // namespace
}  // namespace muster
