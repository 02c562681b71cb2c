// tests/operator/core/progress_test.cc: what the agents tell, as it reaches status.progress and
// status.history
#include "operator/core/progress.h"

#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using namespace std::chrono_literals;

std::string last_words(int step, const std::string& digest) {
  return Json{{"membership", "1"},
              {"phase", "PHASE_SUCCEEDED"},
              {"worker",
               {{"rank", 0},
                {"step", std::to_string(step)},
                {"totalSteps", std::to_string(step)},
                {"loss", 0.25},
                {"testLoss", 0.31},
                {"accuracy", 0.8912},
                {"payloadBytesSent", "1000"},
                {"payloadBytesExpected", "1000"},
                {"parametersSha256", digest}}}}
      .dump();
}

TEST(Progress, LastWordsFillTheProgressThatWasMissed) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 0, last_words(30, "abc"));
  cluster.end_pod("digits-worker-1", 0, last_words(30, "abc"));
  cluster.settle();
  ASSERT_TRUE(cluster.is("Succeeded"));
  const Json progress = cluster.status().progress;
  EXPECT_EQ(progress["step"], 30);
  EXPECT_EQ(progress["accuracy"], 0.8912);
  EXPECT_EQ(progress["payloadBytesSent"], 2000);
  EXPECT_EQ(progress["parametersSha256"], "abc");
  ASSERT_EQ(cluster.status().history.size(), 1U);
  EXPECT_EQ(cluster.status().history[0]["at"], 30);
}

TEST(Progress, FailsWhenWorkersEndWithDifferentParameters) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 0, last_words(30, "abc"));
  cluster.end_pod("digits-worker-1", 0, last_words(30, "abd"));
  cluster.settle();
  EXPECT_FALSE(cluster.is("Succeeded"));
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->reason, "ParametersDiverged");
}

TEST(Progress, MereProgressIsWrittenAtMostOnceASecond) {
  ClusterModel cluster(job().workers(1).json());
  cluster.bring_up();
  AgentStatus& agent = cluster.agents.at(cluster.uid_of("digits-worker-0"));
  agent.worker = WorkerProgress{};
  agent.worker->total_steps = 100;
  agent.worker->step = 1;
  agent.worker->loss = std::numeric_limits<double>::quiet_NaN();
  cluster.advance(2s);
  EXPECT_EQ(cluster.pass(), 1U);
  EXPECT_EQ(cluster.status().progress["step"], 1);
  EXPECT_FALSE(cluster.status().progress.contains("loss")) << "NaN has no JSON form";
  agent.worker->step = 2;
  const Decision decision = cluster.decide();
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_GT(decision.requeue_after, 0ms);
  EXPECT_LE(decision.requeue_after, 1s);
  cluster.now += decision.requeue_after;
  EXPECT_EQ(cluster.pass(), 1U);
  EXPECT_EQ(cluster.status().progress["step"], 2);
}

TEST(Progress, ARestartedWorkersHistoryContinuesTheKnownCurve) {
  ClusterModel cluster(job().workers(1).json());
  cluster.bring_up();
  const auto tell = [&](std::vector<Point> history) {
    AgentStatus& agent = cluster.agents.at(cluster.uid_of("digits-worker-0"));
    agent.worker = WorkerProgress{};
    agent.worker->total_steps = 100;
    agent.worker->history = std::move(history);
    cluster.settle();
  };
  tell({{10, 0.9, 0.5}, {20, 0.8, 0.6}, {30, 0.7, 0.7}});
  cluster.end_pod("digits-worker-0", 137);
  cluster.settle();
  cluster.finish_deletions();
  cluster.bring_up();
  tell({{30, 0.71, 0.69}, {40, 0.6, 0.75}});
  const Json history = cluster.status().history;
  ASSERT_EQ(history.size(), 4U);
  EXPECT_EQ(history[1]["at"], 20);
  EXPECT_EQ(history[2]["loss"], 0.71);
  EXPECT_EQ(history[3]["at"], 40);
}

}  // namespace
}  // namespace muster::op::testing
