// tests/common/pod_test.cc: manifest paths become this machine's paths
#include "common/platform/pod.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace muster {
namespace {

TEST(Pod, ResolvesTheLongestMount) {
  setenv("MUSTER_VOLUME_MAP", "/data=/real:/data/deep=/other", 1);
  EXPECT_EQ(resolve_mount("/data/x"), "/real/x");
  EXPECT_EQ(resolve_mount("/data/deep/x"), "/other/x");
  EXPECT_EQ(resolve_mount("/database"), "/database");
  EXPECT_EQ(resolve_mount("/data"), "/real");
  unsetenv("MUSTER_VOLUME_MAP");
  EXPECT_EQ(resolve_mount("/data/x"), "/data/x");
}

TEST(Pod, NamesTheMissingVariable) {
  unsetenv("MUSTER_POD_NAME");
  const auto pod = pod_environment();
  ASSERT_FALSE(pod);
  EXPECT_NE(pod.error().message.find("MUSTER_POD_NAME"), std::string::npos);
}

TEST(Pod, ReadsTheGenerationAndRefusesWhatIsNone) {
  for (const char* name : {"MUSTER_POD_NAME", "MUSTER_POD_IP", "MUSTER_JOB_UID"}) setenv(name, "x", 1);
  EXPECT_EQ(pod_environment()->generation, 0);
  setenv("MUSTER_GENERATION", "7", 1);
  EXPECT_EQ(pod_environment()->generation, 7);
  for (const char* wrong : {"7x", "-1", "one"}) {
    setenv("MUSTER_GENERATION", wrong, 1);
    ASSERT_FALSE(pod_environment()) << wrong;
  }
  for (const char* name : {"MUSTER_POD_NAME", "MUSTER_POD_IP", "MUSTER_JOB_UID", "MUSTER_GENERATION"})
    unsetenv(name);
}

}  // namespace
}  // namespace muster
