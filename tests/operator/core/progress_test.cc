// tests/operator/core/progress_test.cc: what the agents tell, as it reaches status.progress and
// status.history
#include "operator/core/progress.h"

#include <gmock/gmock.h>

#include "cluster_model.h"
#include "operator/core/agent_status.h"

namespace muster::op::testing {
namespace {

using namespace std::chrono_literals;

const std::string kDigest(64, 'a');

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
  cluster.end_pod("digits-worker-0", 0, last_words(30, kDigest));
  cluster.end_pod("digits-worker-1", 0, last_words(30, kDigest));
  cluster.settle();
  ASSERT_TRUE(cluster.is("Succeeded"));
  const Json progress = cluster.status().progress;
  EXPECT_EQ(progress["step"], 30);
  EXPECT_EQ(progress["accuracy"], 0.8912);
  EXPECT_EQ(progress["payloadBytesSent"], 2000);
  EXPECT_EQ(progress["parametersSha256"], kDigest);
  ASSERT_EQ(cluster.status().history.size(), 1U);
  EXPECT_EQ(cluster.status().history[0]["at"], 30);
}

TEST(Progress, WhatIsAbsentInTheMessageIsAbsentInTheStatus) {
  ClusterModel cluster(job().workers(1).json());
  cluster.bring_up();
  cluster.agents.at(cluster.uid_of("digits-worker-0")).mutable_worker()->set_total_steps(100);
  cluster.settle();
  const Json progress = cluster.status().progress;
  EXPECT_EQ(progress["step"], 0) << "known, and zero";
  EXPECT_TRUE(progress["gradientBytes"].is_number_integer()) << "though 64 bits wide";
  for (const char* name : {"accuracy", "testLoss", "resumedFromStep", "parametersSha256", "rank", "history"})
    EXPECT_FALSE(progress.contains(name)) << name;
}

TEST(Progress, LastWordsAreTheProtoJsonFormOrNothing) {
  const struct {
    const char* text;
    std::optional<std::int64_t> step;
  } cases[] = {
      {R"({"phase":"PHASE_SUCCEEDED","worker":{"step":"7"}})", 7},
      {R"({"phase":"PHASE_SUCCEEDED","worker":{"step":7}})", 7},
      {R"({"phase":"PHASE_SUCCEEDED","worker":{"step":"7","fromANewerPod":{"a":[1]}},"more":1})", 7},
      {R"({"worker":{"step":"7"}})", {}},  // no phase: another program's
      {R"({"phase":"PHASE_SUCCEEDED","worker":{"step":"many"}})", {}},
      {R"({"phase":"PHASE_SUCCEEDED","worker":7})", {}},
      {R"(["phase"])", {}},
      {"done", {}},
      {"", {}},
      {"{\"phase\":\"PHASE_SUCCEEDED\",\"message\":\"\xff\"", {}},
  };
  for (const auto& each : cases) {
    const auto words = last_words_of(each.text);
    EXPECT_EQ(words ? std::optional(words->worker().step()) : std::nullopt, each.step) << each.text;
  }
}

TEST(Progress, FailsWhenWorkersEndWithDifferentParameters) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 0, last_words(30, kDigest));
  cluster.end_pod("digits-worker-1", 0, last_words(30, std::string(64, 'b')));
  cluster.settle();
  EXPECT_FALSE(cluster.is("Succeeded"));
  ASSERT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->reason, "ParametersDiverged");
}

TEST(Progress, TheDigestOfTheStateIsToldWhenAllReplicasHaveTheSame) {
  for (const char last : {'c', 'd'}) {
    ClusterModel cluster(job().workers(2).json());
    cluster.bring_up();
    const auto words = [](char state) {
      Json told = Json::parse(last_words(30, kDigest));
      told["worker"]["stateSha256"] = std::string(64, state);
      return told.dump();
    };
    cluster.end_pod("digits-worker-0", 0, words('c'));
    cluster.end_pod("digits-worker-1", 0, words(last));
    cluster.settle();
    EXPECT_EQ(cluster.status().state_digest, last == 'c' ? std::string(64, 'c') : "");
    EXPECT_FALSE(cluster.status().progress.contains("stateSha256"));
  }
}

TEST(Progress, MereProgressIsWrittenAtMostOnceASecond) {
  ClusterModel cluster(job().workers(1).json());
  cluster.bring_up();
  control::v1::WorkerProgress& told = *cluster.agents.at(cluster.uid_of("digits-worker-0")).mutable_worker();
  told.set_total_steps(100);
  told.set_step(1);
  told.set_loss(std::numeric_limits<double>::quiet_NaN());
  cluster.advance(2s);
  EXPECT_EQ(cluster.pass(), 1U);
  EXPECT_EQ(cluster.status().progress["step"], 1);
  EXPECT_FALSE(cluster.status().progress.contains("loss")) << "NaN has no JSON form";
  told.set_step(2);
  const Decision decision = cluster.decide();
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_GT(decision.requeue_after, 0ms);
  EXPECT_LE(decision.requeue_after, 1s);
  cluster.now += decision.requeue_after;
  EXPECT_EQ(cluster.pass(), 1U);
  EXPECT_EQ(cluster.status().progress["step"], 2);
}

TEST(Progress, TellsTheShareOfTheTimeThatWentIntoStepsThatCount) {
  ClusterModel cluster(job().workers(1).json());
  cluster.bring_up();
  const WallTime start = cluster.status().start_time.value();
  control::v1::WorkerProgress& told = *cluster.agents.at(cluster.uid_of("digits-worker-0")).mutable_worker();
  told.set_total_steps(100);
  told.set_step(10);
  told.set_trained_seconds(30);
  cluster.now = start + 40s;
  cluster.settle();
  const Json goodput = cluster.status().progress["goodput"];
  EXPECT_NEAR(goodput.get<double>(), 0.75, 0.02) << "it may be told a second later";
  cluster.now = start + 80s;
  EXPECT_EQ(cluster.pass(), 0U) << "no step, no news";
  EXPECT_EQ(cluster.status().progress["goodput"], goodput);
  told.set_step(20);
  told.set_trained_seconds(
      1000);  // most of it before: a checkpoint of another object, or a clock that was set
  cluster.now = start + 100s;
  cluster.settle();
  EXPECT_EQ(cluster.status().progress["goodput"], 1);
  told.set_step(30);
  told.set_trained_seconds(1050);
  cluster.now = start + 200s;
  cluster.settle();
  EXPECT_NEAR(cluster.status().progress["goodput"].get<double>(), 0.75, 0.02);
}

TEST(Progress, AWorkerThatHoldsUpTheOthersIsOneEvent) {
  ClusterModel cluster(job().workers(3).json());
  cluster.bring_up();
  control::v1::WorkerProgress& told = *cluster.agents.at(cluster.uid_of("digits-worker-0")).mutable_worker();
  told.set_total_steps(100);
  const auto tell = [&](int step, int rank, double slowdown) {
    told.set_step(step);
    told.set_slowest_rank(rank);
    told.set_slowdown(slowdown);
    for (int pass = 0; pass < 5; ++pass)
      static_cast<void>(cluster.pass());  // several in the second of a write
    cluster.settle();
    return cluster.count_events("SlowWorker");
  };
  EXPECT_EQ(tell(1, 2, 1.9), 0);
  EXPECT_EQ(tell(2, 2, std::numeric_limits<double>::quiet_NaN()), 0);
  EXPECT_EQ(tell(3, 2, 2.5), 1);
  EXPECT_THAT(cluster.status().progress["warnings"][0].get<std::string>(),
              ::testing::StartsWith("digits-worker-2 (rank 2) took more than twice as long"));
  EXPECT_EQ(tell(4, 2, 3), 1) << "known";
  EXPECT_EQ(tell(5, 1, 3), 2) << "another one";
  EXPECT_EQ(tell(6, 2, 3), 2) << "back and forth is no news";
  EXPECT_EQ(tell(7, 7, 3), 2) << "no rank of this job";
  EXPECT_EQ(cluster.status().progress["slowestRank"], 7);
}

TEST(Progress, ATopologyIsANameOrLeftOut) {
  ClusterModel cluster(job().workers(1).json());
  cluster.bring_up();
  control::v1::AgentStatus& agent = cluster.agents.at(cluster.uid_of("digits-worker-0"));
  agent.mutable_worker()->set_total_steps(100);
  agent.mutable_worker()->set_topology("Direct");
  EXPECT_EQ(checked(agent).worker().topology(), "Direct");
  for (const std::string& odd : {std::string("Direct\n"), std::string(33, 'x'), std::string()}) {
    agent.mutable_worker()->set_topology(odd);
    EXPECT_FALSE(checked(agent).worker().has_topology()) << odd;
  }
}

TEST(Progress, ARestartedWorkersHistoryContinuesTheKnownCurve) {
  ClusterModel cluster(job().workers(1).json());
  cluster.bring_up();
  const auto tell = [&](const std::vector<std::pair<int, double>>& points) {
    auto& worker = *cluster.agents.at(cluster.uid_of("digits-worker-0")).mutable_worker();
    worker.set_total_steps(100);
    for (const auto& [at, loss] : points) {
      control::v1::Point& point = *worker.add_history();
      point.set_at(at);
      point.set_loss(loss);
    }
    cluster.settle();
  };
  tell({{10, 0.9}, {20, 0.8}, {30, 0.7}});
  cluster.end_pod("digits-worker-0", 137);
  cluster.settle();
  cluster.finish_deletions();
  cluster.bring_up();
  tell({{30, 0.71}, {40, 0.6}});
  const Json history = cluster.status().history;
  ASSERT_EQ(history.size(), 4U);
  EXPECT_EQ(history[1]["at"], 20);
  EXPECT_EQ(history[2]["loss"], 0.71);
  EXPECT_EQ(history[3]["at"], 40);
}

control::v1::EpochBalance balance(std::int64_t number, std::int64_t twice = 0) {
  control::v1::EpochBalance epoch;
  epoch.set_epoch(number);
  epoch.set_expected(97);
  epoch.set_counted(97 + twice);
  epoch.set_twice(twice);
  epoch.set_digest("0123456789abcdef");
  return epoch;
}

TEST(Progress, TheLedgerKeepsTheNewestEpochsAndEndsWithTheLastWords) {
  ClusterModel cluster(job().workers(1).json());
  cluster.bring_up();
  const auto tell = [&](std::int64_t step, const std::vector<std::int64_t>& epochs) {
    auto& worker = *cluster.agents.at(cluster.uid_of("digits-worker-0")).mutable_worker();
    worker.set_total_steps(100);
    worker.set_step(step);
    worker.clear_ledger();
    for (const std::int64_t epoch : epochs) *worker.add_ledger() = balance(epoch, epoch == 3 ? 2 : 0);
    cluster.settle();
  };
  const auto told = [&] {
    std::vector<std::int64_t> epochs;
    const Json progress = cluster.status().progress;
    if (!progress.contains("ledger")) return epochs;
    for (const Json& epoch : progress["ledger"]) epochs.push_back(epoch["epoch"].get<std::int64_t>());
    return epochs;
  };
  tell(10, {1});
  EXPECT_EQ(told(), (std::vector<std::int64_t>{1}));
  tell(20, {});  // a process that resumed from a file of an earlier release
  EXPECT_EQ(told(), (std::vector<std::int64_t>{1}));
  tell(30, {2, 3});
  EXPECT_EQ(told(), (std::vector<std::int64_t>{1, 2, 3}));
  EXPECT_EQ(cluster.status().progress["ledger"][2], (Json{{"epoch", 3},
                                                          {"expected", 97},
                                                          {"counted", 99},
                                                          {"twice", 2},
                                                          {"missed", 0},
                                                          {"digest", "0123456789abcdef"}}));
  tell(80, {4, 5, 6, 7, 8, 9, 10});
  EXPECT_EQ(told(), (std::vector<std::int64_t>{3, 4, 5, 6, 7, 8, 9, 10})) << "eight";

  Json last = Json::parse(last_words(100, kDigest));
  last["worker"]["ledger"] =
      Json::array({{{"epoch", "11"}, {"expected", "97"}, {"counted", "97"}, {"digest", "0123456789abcdef"}}});
  cluster.end_pod("digits-worker-0", 0, last.dump());
  cluster.settle();
  EXPECT_EQ(told(), (std::vector<std::int64_t>{4, 5, 6, 7, 8, 9, 10, 11}));
}

TEST(Progress, AWarningStaysInTheStatusAndIsAnEventOnce) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  auto& told = cluster.agents.at(cluster.uid_of("digits-worker-0"));
  told.mutable_worker()->set_total_steps(100);
  told.add_warnings("column \"id\" numbers the rows");
  cluster.settle();
  told.mutable_worker()->set_step(50);
  cluster.settle();
  told.add_warnings("the training diverged");
  cluster.settle();
  EXPECT_EQ(cluster.status().progress["warnings"],
            (Json{"column \"id\" numbers the rows", "the training diverged"}));
  EXPECT_EQ(cluster.count_events("TrainingDoubtful"), 2);
  EXPECT_EQ(cluster.events.back().message, "the training diverged");
  EXPECT_EQ(cluster.events.back().type, "Warning");
}

TEST(Progress, AnyWorkersWarningIsToldAlsoBeforeRankZeroHasAFigure) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  for (const char* pod : {"digits-worker-0", "digits-worker-1"}) {
    auto& told = cluster.agents.at(cluster.uid_of(pod));
    told.mutable_worker();
    told.add_warnings("column \"id\" numbers the rows");
  }
  cluster.agents.at(cluster.uid_of("digits-worker-1")).add_warnings("a pod tells what cannot be");
  cluster.settle();
  EXPECT_EQ(cluster.status().progress["warnings"],
            (Json{"column \"id\" numbers the rows", "a pod tells what cannot be"}));
  EXPECT_EQ(cluster.count_events("TrainingDoubtful"), 2);
}

TEST(Progress, LastWordsAreCheckedAsAnAgentsAre) {
  ClusterModel cluster(job().workers(1).json());
  cluster.bring_up();
  Json words = Json::parse(last_words(30, std::string(900, 'A')));
  words["worker"]["accuracy"] = 7.5;
  cluster.end_pod("digits-worker-0", 0, words.dump());
  cluster.settle();
  ASSERT_TRUE(cluster.is("Succeeded"));
  const Json progress = cluster.status().progress;
  EXPECT_EQ(progress["step"], 30);
  EXPECT_FALSE(progress.contains("accuracy"));
  EXPECT_FALSE(progress.contains("parametersSha256"));
  EXPECT_THAT(progress["warnings"][0].get<std::string>(),
              ::testing::HasSubstr("cannot be (accuracy, parametersSha256)"));
  EXPECT_EQ(cluster.count_events("TrainingDoubtful"), 1);
}

TEST(Progress, WarningsOfLastWordsAreToldAndTheirNumberIsBounded) {
  ClusterModel cluster(job().workers(1).json());
  cluster.bring_up();
  Json words = Json::parse(last_words(30, kDigest));
  for (int i = 0; i < 40; ++i)
    words["warnings"].push_back(std::string(2000, static_cast<char>('a' + i % 26)));
  cluster.end_pod("digits-worker-0", 0, words.dump());
  cluster.settle();
  ASSERT_TRUE(cluster.is("Succeeded"));
  EXPECT_EQ(cluster.status().progress["warnings"].size(), 16U);
  EXPECT_EQ(cluster.status().progress["warnings"][3].get<std::string>().size(), 1024U);
  EXPECT_EQ(cluster.count_events("TrainingDoubtful"), 16);
}

}  // namespace
}  // namespace muster::op::testing
