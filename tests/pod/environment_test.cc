// tests/pod/environment_test.cc: what a container is told of its pod
#include "pod/environment.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace muster {
namespace {

TEST(Pod, NamesTheMissingVariable) {
  const char* const names[] = {"MUSTER_POD_NAME", "MUSTER_POD_UID", "MUSTER_POD_IP",
                               "MUSTER_JOB_UID",  "MUSTER_ROLE",    "MUSTER_INDEX"};
  for (const char* name : names) setenv(name, "3", 1);
  EXPECT_TRUE(pod_environment());
  for (const char* name : names) {
    unsetenv(name);
    const auto pod = pod_environment();
    ASSERT_FALSE(pod);
    EXPECT_NE(pod.error().message.find(name), std::string::npos);
    setenv(name, "3", 1);
  }
  for (const char* index : {"x", "-1", "1x", "+1"}) {
    setenv("MUSTER_INDEX", index, 1);
    EXPECT_FALSE(pod_environment()) << index;
  }
  for (const char* name : names) unsetenv(name);
}

TEST(Pod, RefusesAVolumeMapThatIsNone) {
  for (const char* name : {"MUSTER_POD_NAME", "MUSTER_POD_UID", "MUSTER_POD_IP", "MUSTER_JOB_UID"})
    setenv(name, "x", 1);
  setenv("MUSTER_VOLUME_MAP", "/data=/real", 1);
  EXPECT_FALSE(pod_environment()) << "paths of the manifest could not be found";
  for (const char* name :
       {"MUSTER_POD_NAME", "MUSTER_POD_UID", "MUSTER_POD_IP", "MUSTER_JOB_UID", "MUSTER_VOLUME_MAP"})
    unsetenv(name);
}

}  // namespace
}  // namespace muster
