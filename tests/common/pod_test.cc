// tests/common/pod_test.cc: what the environment says of the pod
#include "common/platform/pod.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace muster {
namespace {

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
  unsetenv("MUSTER_GENERATION");
  setenv("MUSTER_VOLUME_MAP", "/data=/real", 1);
  EXPECT_FALSE(pod_environment()) << "paths of the manifest could not be found";
  unsetenv("MUSTER_VOLUME_MAP");
  for (const char* name : {"MUSTER_POD_NAME", "MUSTER_POD_IP", "MUSTER_JOB_UID", "MUSTER_GENERATION"})
    unsetenv(name);
}

}  // namespace
}  // namespace muster
