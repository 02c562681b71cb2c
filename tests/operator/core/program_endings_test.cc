// tests/operator/core/program_endings_test.cc: whose word an exit code is beside a program of the user's own
#include <gmock/gmock.h>

#include "cluster_model.h"
#include "common/json/access.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

const std::string kWorker1 = "digits-worker-1";

Json with_program(const char* name = "worker") {
  return job()
      .max_restarts(2)
      .set("/spec/training", {{"program", Json::object()}})
      .set("/spec/workers/template/spec/containers", Json::array({{{"name", name}, {"image", "train:1"}}}))
      .json();
}

class ProgramsCode : public ::testing::TestWithParam<int> {};

TEST_P(ProgramsCode, IsAFailureLikeAnyOther) {
  for (const char* words : {"", "rank 2 (127.1.0.3:8471) closed the connection",
                            "log line\nmuster.dev/ending: rank 2 (127.1.0.3:8471) closed the connection"}) {
    ClusterModel cluster(with_program());
    cluster.bring_up();
    cluster.end_pod(kWorker1, GetParam(), words);
    cluster.settle();
    EXPECT_FALSE(cluster.is("Failed")) << words;
    EXPECT_EQ(cluster.status().restarts, 1) << words << ": 75 waits for no cause, and no node is asked for";
    EXPECT_EQ(cluster.status().disruptions, 0) << words;
  }
}

TEST_P(ProgramsCode, OfAllRanksCountsAndEndsTheJobInTheEnd) {
  ClusterModel cluster(with_program());
  for (int run = 0; run < 3; ++run) {
    cluster.bring_up();
    for (int index = 0; index < 4; ++index)
      cluster.end_pod("digits-worker-" + std::to_string(index), GetParam());
    cluster.settle();
    cluster.finish_deletions();
    cluster.advance(10min);
  }
  EXPECT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.status().restarts, 2);
}
INSTANTIATE_TEST_SUITE_P(Codes, ProgramsCode, ::testing::Values(65, 74, 75));

TEST(ProgramEndings, TheLibrarysWordMakesTheCodeMusters) {
  ClusterModel cluster(with_program("main"));
  cluster.bring_up();
  cluster.end_pod(kWorker1, 75, "muster.dev/ending: rank 2 (127.1.0.3:8471) closed the connection");
  cluster.pass();
  EXPECT_EQ(cluster.status().restarts, 0) << "the cause is waited for";
  cluster.end_pod("digits-worker-2", 137);
  cluster.pass();
  EXPECT_EQ(cluster.status().restarts, 1);
  EXPECT_THAT(cluster.condition("AllWorkersTrain")->message, HasSubstr("worker 2 (digits-worker-2) exited"));
}

TEST(ProgramEndings, WhatMusterSaysCannotWorkEndsTheJobInItsOwnWords) {
  ClusterModel cluster(with_program());
  cluster.bring_up();
  cluster.end_pod(kWorker1, 65, "muster.dev/ending: the models of the ranks differ");
  cluster.pass();
  EXPECT_TRUE(cluster.is("Failed"));
  EXPECT_EQ(cluster.condition("Failed")->message,
            "worker 1 (digits-worker-1) exited with code 65: the models of the ranks differ; a restart would "
            "not help");
}

// A kubelet takes the end of a log for last words, and Muster's tools print so.
TEST(ProgramEndings, ALineOfALogIsNotMustersWord) {
  ClusterModel cluster(with_program());
  cluster.bring_up();
  cluster.end_pod(kWorker1, 65, "muster: rank 2 (127.1.0.3:8471) closed the connection");
  cluster.settle();
  EXPECT_FALSE(cluster.is("Failed"));
  EXPECT_EQ(cluster.status().restarts, 1);
}

// One whose container brings no program: Muster's worker is in it, whatever runs beside it.
TEST(ProgramEndings, AContainerOfTheUsersNamedMusterChangesNothingForMustersWorker) {
  for (const char* role : {"workers", "synchronization/parameterServers"}) {
    const bool servers = std::string(role) != "workers";
    JobBuilder builder = job().workers(2).max_restarts(3);
    if (servers)
      builder.set("/spec/synchronization",
                  {{"topology", "ParameterServer"}, {"parameterServers", {{"shards", 2}}}});
    builder.set("/spec/" + std::string(role) + "/template/spec",
                Json::parse(R"({"volumes": [{"name": "muster-socket", "emptyDir": {}}],
                    "containers": [{"name": "main"}],
                    "initContainers": [{"name": "muster", "image": "mine:1", "restartPolicy": "Always",
                        "volumeMounts": [{"name": "muster-socket", "mountPath": "/mine"}]}]})"));
    ClusterModel cluster(builder.json());
    cluster.defaults.worker_image = "muster-worker:1";
    cluster.bring_up();
    const std::string victim = servers ? "digits-server-1" : kWorker1;
    ASSERT_TRUE(cluster.pods.contains(victim));
    cluster.evict(victim);
    cluster.settle();
    cluster.finish_deletions();
    cluster.advance(1min);
    cluster.settle();
    EXPECT_EQ(cluster.pods.at(victim)["spec"]["containers"][0]["image"], "muster-worker:1") << role;
    cluster.start_pods();
    cluster.settle();
    cluster.end_pod(victim, 65, "no such file");
    cluster.pass();
    EXPECT_TRUE(cluster.is("Failed")) << role << ": 65 is Muster's word there";
  }
}

TEST(ProgramEndings, TheMarkBeforeMustersWordsIsNotToldWithoutASidecarEither) {
  ClusterModel cluster(job().workers(1).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 65, "muster.dev/ending: no such file");
  cluster.pass();
  EXPECT_EQ(cluster.condition("Failed")->message,
            "worker 0 (digits-worker-0) exited with code 65: no such file; a restart would not help");
}

TEST(ProgramEndings, TheLibraryFindsThePlaceOfItsWords) {
  Json object = with_program();
  const auto variable = [](const Json& pod) -> const Json& {
    static const Json kNone;
    for (const Json& each : pod["spec"]["containers"][0]["env"])
      if (each["name"] == "MUSTER_TERMINATION_LOG") return each["value"];
    return kNone;
  };
  ClusterModel usual(object);
  usual.settle();
  EXPECT_TRUE(variable(usual.pods.at(kWorker1)).is_null()) << "/dev/termination-log is where it looks anyhow";
  object["spec"]["workers"]["template"]["spec"]["containers"][0]["terminationMessagePath"] = "/out/words";
  ClusterModel moved(object);
  moved.settle();
  EXPECT_EQ(variable(moved.pods.at(kWorker1)), "/out/words");
}

}  // namespace
}  // namespace muster::op::testing
