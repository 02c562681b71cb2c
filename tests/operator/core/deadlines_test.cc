// tests/operator/core/deadlines_test.cc: pods that do not come to run, training that stands still, and how
// much is left
#include "operator/core/deadlines.h"

#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

class PendingDeadline : public ::testing::Test {
 protected:
  ClusterModel cluster_{job().workers(2).set("/spec/runPolicy/pendingDeadlineSeconds", 60).json()};
};

TEST_F(PendingDeadline, PodsThatNeverRunFailTheJobAndSayWhy) {
  cluster_.settle();
  cluster_.start_pods();
  cluster_.pods["digits-worker-1"]["status"] = {
      {"phase", "Pending"},
      {"conditions",
       Json::array({{{"type", "PodScheduled"},
                     {"status", "False"},
                     {"reason", "Unschedulable"},
                     {"message", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}}})}};
  cluster_.settle();
  EXPECT_LE(cluster_.decide().requeue_after, 60s);
  cluster_.advance(30s);
  cluster_.settle();
  EXPECT_FALSE(cluster_.is("Failed"));
  cluster_.advance(40s);
  cluster_.settle();
  ASSERT_TRUE(cluster_.is("Failed"));
  EXPECT_EQ(cluster_.condition("Failed")->reason, "PendingDeadlineExceeded");
  EXPECT_THAT(cluster_.condition("Failed")->message, HasSubstr("Insufficient nvidia.com/gpu"));
}

TEST_F(PendingDeadline, RunningPodsAreSafe) {
  cluster_.bring_up();
  cluster_.advance(1h);
  cluster_.settle();
  EXPECT_FALSE(cluster_.is("Failed"));
}

TEST_F(PendingDeadline, CountsAnewFromWhenTooFewWorkersAreLeft) {
  cluster_.object["spec"]["workers"]["minReplicas"] = 2;
  cluster_.bring_up();
  cluster_.advance(1h);
  cluster_.settle();
  cluster_.evict("digits-worker-1");
  cluster_.settle();
  cluster_.finish_deletions();
  cluster_.settle();
  cluster_.advance(30s);
  cluster_.settle();
  EXPECT_FALSE(cluster_.is("Failed"));
  cluster_.advance(40s);
  cluster_.settle();
  EXPECT_TRUE(cluster_.is("Failed"));
}

TEST_F(PendingDeadline, DoesNotCountWhileTrainingGoesOn) {
  cluster_.bring_up();
  cluster_.evict("digits-worker-1");
  cluster_.settle();
  cluster_.finish_deletions();
  cluster_.settle();
  cluster_.advance(70s);
  cluster_.settle();
  EXPECT_FALSE(cluster_.is("Failed"));
}

class ProgressDeadline : public ::testing::Test {
 protected:
  ProgressDeadline() { cluster_.bring_up(); }
  void tell_step(std::int64_t step) {
    auto& told = cluster_.agents[cluster_.uid_of("digits-worker-0")];
    told.mutable_worker()->set_step(step);
    told.mutable_worker()->set_total_steps(1000);
    told.mutable_worker()->set_examples_per_second(128);
    cluster_.settle();
  }
  ClusterModel cluster_{job().workers(2).set("/spec/runPolicy/progressDeadlineSeconds", 120).json()};
};

TEST_F(ProgressDeadline, WorkersThatStandStillStartAnewWhichCounts) {
  tell_step(10);
  cluster_.advance(110s);
  cluster_.settle();
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_LE(cluster_.decide().requeue_after, 11s);
  cluster_.advance(11s);
  cluster_.settle();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_THAT(cluster_.condition("Restarting")->message, HasSubstr("no step was made after 10"));
}

TEST_F(ProgressDeadline, EachStepBeginsItAnew) {
  for (int step = 1; step < 5; ++step) {
    tell_step(step);
    cluster_.advance(100s);
    cluster_.settle();
  }
  EXPECT_EQ(cluster_.status().restarts, 0);
}

TEST_F(ProgressDeadline, OfAWorkerThatCannotBeHeardNothingIsKnown) {
  tell_step(10);
  cluster_.agents.clear();
  cluster_.advance(1h);
  cluster_.settle();
  EXPECT_EQ(cluster_.status().restarts, 0);
}

TEST_F(ProgressDeadline, PercentAndTimeLeftAreTold) {
  const Json& spec = cluster_.object["spec"];
  const double step_seconds =
      static_cast<double>(spec["training"].value("batchSize", 64)) * 2 / 128;  // at 128 examples a second
  tell_step(250);
  const Json progress = cluster_.status().progress;
  EXPECT_EQ(progress["percent"], 25);
  const auto left = static_cast<std::int64_t>(750 * step_seconds);
  EXPECT_EQ(progress["timeLeft"], std::to_string(left / 60) + "m" + std::to_string(left % 60) + "s");
}

TEST_F(ProgressDeadline, NothingIsLeftAtTheEnd) {
  tell_step(1000);
  EXPECT_EQ(cluster_.status().progress["percent"], 100);
  EXPECT_FALSE(cluster_.status().progress.contains("timeLeft"));
}

// Else every pass would have something to write, also that of an operator which has just started.
TEST(TimeLeft, OfAFederationStandsUntilTheNextRound) {
  ClusterModel cluster(federated_round(4, 2));
  cluster.bring_up();
  auto& told = *cluster.agents[cluster.uid_of("phones-aggregator-0")].mutable_aggregator();
  told.set_round(2);
  told.set_rounds(5);
  cluster.advance(60s);
  cluster.settle();
  ASSERT_TRUE(cluster.status().progress.contains("timeLeft"));
  cluster.advance(60s);
  EXPECT_EQ(cluster.pass(), 0U);
}

}  // namespace
}  // namespace muster::op::testing
