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

TEST(WorkerFailures, AWorkerThatCannotBeScheduledCostsTheWaitingOnesNoRestart) {
  ClusterModel cluster(job().max_restarts(0).json());
  cluster.settle();
  cluster.start_pods();
  cluster.pods["digits-worker-3"]["status"] = {
      {"phase", "Pending"},
      {"conditions",
       Json::array({{{"type", "PodScheduled"}, {"status", "False"}, {"reason", "Unschedulable"}}})}};
  cluster.settle();
  for (const char* name : {"digits-worker-0", "digits-worker-1", "digits-worker-2"})
    cluster.end_pod(name, 75, "no assignment came within 600 s");
  cluster.pass();
  EXPECT_FALSE(cluster.is("Failed"));
  EXPECT_EQ(cluster.status().restarts, 0);
  EXPECT_EQ(cluster.status().disruptions, 1);
  EXPECT_THAT(cluster.condition("Restarting")->message,
              HasSubstr("digits-worker-3 has not started (Unschedulable)"));
}

}  // namespace
}  // namespace muster::op::testing
