// tests/common/host_port_test.cc: addresses of both families
#include "common/base/host_port.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

TEST(HostPort, BracketsAnIpv6Address) {
  EXPECT_EQ(host_port("10.0.0.1", 8471), "10.0.0.1:8471");
  EXPECT_EQ(host_port("fd00::1", 8471), "[fd00::1]:8471");
}

}  // namespace
}  // namespace muster
