// tests/operator/core/rejection_test.cc: an assignment that a pod will not take, as its owner sees it
#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;

class Rejection : public ::testing::Test {
 protected:
  Rejection() {
    cluster_.settle();
    cluster_.start_pods();
    cluster_.settle();
    worker_ = cluster_.uid_of("digits-worker-1");
  }
  ClusterModel cluster_{job().workers(2).json()};
  std::string worker_;
};

TEST_F(Rejection, IsAConditionAndOneEventUntilItIsOver) {
  cluster_.refusals[worker_] = failed_precondition("with another worker.rank");
  cluster_.settle();
  ASSERT_TRUE(cluster_.is("AssignmentRejected"));
  EXPECT_EQ(cluster_.condition("AssignmentRejected")->reason, "AssignmentRejected");
  EXPECT_THAT(cluster_.condition("AssignmentRejected")->message,
              HasSubstr("digits-worker-1: with another worker.rank"));
  EXPECT_EQ(cluster_.count_events("AssignmentRejected"), 1);
  cluster_.settle();
  EXPECT_EQ(cluster_.count_events("AssignmentRejected"), 1);
  cluster_.refusals.clear();
  cluster_.settle();
  EXPECT_FALSE(cluster_.is("AssignmentRejected"));
  EXPECT_EQ(cluster_.condition("AssignmentRejected")->reason, "AssignmentsTaken");
}

TEST_F(Rejection, APodThatDoesNotAnswerOrIsAnotherOneRejectsNothing) {
  for (const Error& refusal : {unavailable("no connection"), deadline_exceeded("late"),
                               Error{Code::kPermissionDenied, "this is another pod"}}) {
    cluster_.refusals[worker_] = refusal;
    cluster_.settle();
    EXPECT_EQ(cluster_.condition("AssignmentRejected"), nullptr) << refusal.message;
  }
}

}  // namespace
}  // namespace muster::op::testing
