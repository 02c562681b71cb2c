// tests/operator/core/worker_failures_test.cc: what the ends of workers mean for their job: counted,
// uncounted, or the end
#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

class UsersExitCode : public ::testing::TestWithParam<int> {};

TEST_P(UsersExitCode, IsAFailureLikeAnyOther) {
  ClusterModel cluster(job().plain().json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", GetParam());
  cluster.pass();
  EXPECT_FALSE(cluster.is("Failed")) << "65, 74 and 75 mean something in Muster's own programs only";
  EXPECT_EQ(cluster.status().restarts, 1);
  EXPECT_EQ(cluster.status().membership_generation, 2);
}
INSTANTIATE_TEST_SUITE_P(Codes, UsersExitCode, ::testing::Values(65, 74, 75));

}  // namespace
}  // namespace muster::op::testing
