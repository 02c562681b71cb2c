// tests/operator/core/worker_failures_test.cc: what the ends of workers mean for their job: counted,
// uncounted, or the end
#include <gmock/gmock.h>

#include "cluster_model.h"
#include "operator/core/worker_failures.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

// What happens to a job of four, worker i on node n-i, before a pass looks at it.
struct WhatHappens {
  const char* name;
  void (*happens)(ClusterModel& cluster);
  std::int64_t restarts, disruptions;
};
class WhatCounts : public ::testing::TestWithParam<WhatHappens> {};

const NodeProblem kBroken{.condition = "KernelDeadlock", .taints = {}};

TEST_P(WhatCounts, IsAnExitCodeUnlessANodeIsBroken) {
  ClusterModel cluster(job().plain().json());
  cluster.bring_up();
  for (int i = 0; i < 4; ++i) {
    const std::string number = std::to_string(i);
    cluster.pods["digits-worker-" + number]["spec"]["nodeName"] = "n-" + number;
  }
  GetParam().happens(cluster);
  cluster.pass();
  EXPECT_EQ(cluster.status().restarts, GetParam().restarts);
  EXPECT_EQ(cluster.status().disruptions, GetParam().disruptions);
}
INSTANTIATE_TEST_SUITE_P(
    Worker, WhatCounts,
    ::testing::Values(
        WhatHappens{"Fails", [](ClusterModel& cluster) { cluster.end_pod("digits-worker-1", 1); }, 1, 0},
        WhatHappens{"IsEvicted", [](ClusterModel& cluster) { cluster.evict("digits-worker-1"); }, 0, 1},
        WhatHappens{"FailsAndAnotherIsEvicted",
                    [](ClusterModel& cluster) {
                      cluster.end_pod("digits-worker-1", 1);
                      cluster.evict("digits-worker-2");
                    },
                    1, 0},
        WhatHappens{"FailsBeforeItsNodeIsCalledBroken",  // others have done their part, one waits for a node
                    [](ClusterModel& cluster) {
                      cluster.end_pod("digits-worker-0", 137);
                      cluster.end_pod("digits-worker-1", 0);
                      cluster.end_pod("digits-worker-2", 0);
                      cluster.pods["digits-worker-3"]["spec"].erase("nodeName");
                      cluster.pods["digits-worker-3"]["status"] = {{"phase", "Pending"}};
                      cluster.bad_nodes["n-0"] = kBroken;
                    },
                    0, 1},
        WhatHappens{"FailsAfterAPeersNodeBroke",
                    [](ClusterModel& cluster) {
                      cluster.bad_nodes["n-2"] = kBroken;
                      cluster.end_pod("digits-worker-1", 1);
                    },
                    0, 1},
        WhatHappens{"FailsWhereANodeIsWellAgain",
                    [](ClusterModel& cluster) {
                      cluster.bad_nodes["n-1"] = kBroken;
                      cluster.end_pod("digits-worker-1", 1);
                      cluster.bad_nodes.clear();
                    },
                    1, 0},
        WhatHappens{"FailsBesideOneThatIsDoneOnABrokenNode",
                    [](ClusterModel& cluster) {
                      cluster.end_pod("digits-worker-1", 1);
                      cluster.end_pod("digits-worker-2", 0);
                      cluster.bad_nodes["n-2"] = kBroken;
                    },
                    1, 0}),
    [](const auto& at) { return at.param.name; });

class UsersExitCode : public ::testing::TestWithParam<int> {};

TEST_P(UsersExitCode, IsAFailureLikeAnyOther) {
  ClusterModel cluster(job().plain().json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", GetParam());
  cluster.pass();
  EXPECT_FALSE(cluster.is("Failed")) << "65, 74 and 75 mean something in Muster's own programs only";
  EXPECT_EQ(cluster.status().restarts, 1);
  EXPECT_EQ(cluster.status().incarnation, 2);
}
INSTANTIATE_TEST_SUITE_P(Codes, UsersExitCode, ::testing::Values(65, 74, 75));

TEST(WorkerFailures, AWorkerThatCannotBeScheduledCostsTheWaitingOnesNoRestart) {  // they are made anew
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
  EXPECT_EQ(cluster.status().disruptions, 0) << "they may have a cause";
  cluster.advance(15s);
  cluster.pass();
  EXPECT_FALSE(cluster.is("Failed"));
  EXPECT_EQ(cluster.status().restarts, 0);
  EXPECT_EQ(cluster.status().disruptions, 3);
  EXPECT_EQ(cluster.status().incarnation, 1) << "the one that waits keeps its place";
}

class LostPeer : public ::testing::Test {
 protected:
  LostPeer() {
    cluster_.bring_up();
    for (const char* name : {"digits-worker-0", "digits-worker-1", "digits-worker-2"})
      cluster_.end_pod(name, 75, "rank 3 is gone");
    cluster_.silent.insert(cluster_.uid_of("digits-worker-3"));
    cluster_.settle();
  }
  ClusterModel cluster_{job().max_restarts(2).json()};
};

TEST_F(LostPeer, TheCauseIsWaitedFor) {
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_GT(cluster_.decide().requeue_after, 0s);
  EXPECT_LE(cluster_.decide().requeue_after, 15s);
}

TEST_F(LostPeer, AnExitCodeIsTheCauseAndCounts) {
  cluster_.end_pod("digits-worker-3", 139);
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_THAT(cluster_.condition("Restarting")->message, HasSubstr("exited with code 139"));
}

TEST_F(LostPeer, AnEvictionIsTheCauseAndDoesNotCount) {
  cluster_.evict("digits-worker-3");
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_EQ(cluster_.status().disruptions, 1);
}

TEST_F(LostPeer, AnExitCodeThatAKubeletTellsLateStillCounts) {
  for (int second = 0; second < 25; second += 5) {  // so long it was away
    cluster_.advance(5s);
    cluster_.pass();
  }
  EXPECT_EQ(cluster_.status().incarnation, 1) << "nobody is blamed meanwhile";
  cluster_.end_pod("digits-worker-3", 137);
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_EQ(cluster_.status().disruptions, 0);
  EXPECT_THAT(cluster_.condition("Restarting")->message, HasSubstr("worker 3 (digits-worker-3) exited with"));
}

TEST_F(LostPeer, OnlyItsNodeSaysThatItIsOutOfReachWhichDoesNotCount) {
  cluster_.pods["digits-worker-3"]["spec"]["nodeName"] = "n-3";
  cluster_.advance(14s);
  cluster_.pass();
  EXPECT_EQ(cluster_.status().incarnation, 1);
  cluster_.lost_nodes = {"n-3"};
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_EQ(cluster_.status().incarnation, 2);
  EXPECT_THAT(cluster_.condition("Restarting")->message, HasSubstr("its node n-3 is out of reach"));
}

TEST_F(LostPeer, OfWhichNothingIsToldForAMinuteIsNotWaitedForAnyLonger) {
  for (int looks = 0; looks < 20 && cluster_.status().incarnation == 1; ++looks) {
    cluster_.now += cluster_.decide().requeue_after;
    cluster_.pass();
  }
  EXPECT_EQ(cluster_.status().incarnation, 2);
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_THAT(cluster_.condition("Restarting")->message, HasSubstr("nothing is told of it or of its node"));
}

TEST(WorkerFailures, PatienceCountsFromTheSightingOfTheEnds) {
  ClusterModel cluster(job().json());
  cluster.bring_up();
  for (const char* name : {"digits-worker-0", "digits-worker-1", "digits-worker-2"})
    cluster.end_pod(name, 75, "rank 3 (127.1.0.4:8471) closed the connection");
  cluster.silent.insert(cluster.uid_of("digits-worker-3"));
  cluster.advance(90s);  // the API server was away
  cluster.pass();
  EXPECT_EQ(cluster.status().incarnation, 1);
  cluster.end_pod("digits-worker-3", 137);  // the watch of pods has only begun
  cluster.pass();
  EXPECT_EQ(cluster.status().restarts, 1);
  EXPECT_EQ(cluster.status().disruptions, 0);
}

TEST(WorkerFailures, TheNodeOfASilentWorkerIsAskedForOnceItsPeersHaveWaited) {
  const WallTime now{std::chrono::hours(1)};
  const auto worker = [&](std::int64_t index, bool ended, std::chrono::seconds ago) {
    Pod pod;
    pod.role = "worker";
    pod.index = index;
    pod.incarnation = 1;
    pod.node = "n-" + std::to_string(index);
    pod.phase = ended ? PodPhase::kFailed : PodPhase::kRunning;
    if (ended) pod.end.emplace().exit_code = 75;
    if (ended) pod.sighted = now - ago;
    return pod;
  };
  Observed seen;
  seen.now = now;
  seen.pods = {worker(0, true, 14s), worker(1, false, 0s), worker(2, false, 0s)};
  EXPECT_TRUE(nodes_in_question(seen).empty());
  seen.pods[0] = worker(0, true, 15s);
  EXPECT_EQ(nodes_in_question(seen), std::set<std::string>{"n-1"}) << "one, not all that still run";
  seen.pods[1].deletion = now - 61s;
  EXPECT_EQ(nodes_in_question(seen), (std::set<std::string>{"n-1", "n-2"}));
}

struct Words {
  const char* words;
  bool counts;
};
class Standstill : public ::testing::TestWithParam<Words> {};

TEST_P(Standstill, ThePodThatThePeersNameGoesAtOnceAndSoon) {
  ClusterModel cluster(job().max_restarts(2).json());
  cluster.bring_up();
  for (const char* name : {"digits-worker-0", "digits-worker-1", "digits-worker-3"})
    cluster.end_pod(name, 75, GetParam().words);
  cluster.silent.insert(cluster.uid_of("digits-worker-2"));
  cluster.pass();
  EXPECT_EQ(cluster.status().incarnation, 2);
  EXPECT_EQ(cluster.status().restarts, GetParam().counts ? 1 : 0);
  EXPECT_EQ(cluster.status().disruptions, GetParam().counts ? 0 : 1);
  EXPECT_THAT(cluster.condition("Restarting")->message, HasSubstr("worker 2 stands still (digits-worker-2"));
  std::vector<std::pair<std::string, std::optional<std::int64_t>>> deleted;
  for (const Action& action : cluster.decide().actions)
    if (const auto* remove = std::get_if<DeletePod>(&action))
      deleted.emplace_back(remove->name, remove->grace_seconds);
  ASSERT_EQ(deleted.size(), 4U);
  EXPECT_EQ(deleted[0], std::pair(std::string("digits-worker-2"), std::optional<std::int64_t>(1)));
  for (std::size_t i = 1; i < 4; ++i) EXPECT_FALSE(deleted[i].second) << deleted[i].first;
}
INSTANTIATE_TEST_SUITE_P(
    Words, Standstill,
    ::testing::Values(
        Words{"rank 2 (127.1.0.3:8471) stands still: nothing was heard of it for 850 ms", false},
        Words{"rank 2 (127.1.0.3:8471) stands still: it did not come to the ring's call in time", true}));

TEST_F(LostPeer, WhenAllHaveLostOneAnotherItCounts) {
  cluster_.end_pod("digits-worker-3", 75, "rank 0 is gone");
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 1);
}

TEST(WorkerFailures, AWorkerThatIsDoneStaysDoneWithoutItsPod) {
  ClusterModel cluster(job().workers(3).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", 0);
  cluster.settle();
  EXPECT_EQ(cluster.status().succeeded_ranks, std::vector<std::int64_t>{1});
  cluster.pods.erase("digits-worker-1");  // by hand, or by the pod garbage collector
  cluster.settle();
  EXPECT_EQ(cluster.status().incarnation, 1) << "the others work on";
  EXPECT_EQ(cluster.pods.size(), 2U) << "and it is not started again";
  EXPECT_TRUE(cluster.is("PodsReady"));
  cluster.end_pod("digits-worker-0", 0);
  cluster.end_pod("digits-worker-2", 0);
  cluster.settle();
  EXPECT_TRUE(cluster.is("Succeeded"));
  EXPECT_EQ(cluster.condition("Succeeded")->message, "all 3 workers succeeded");
}

TEST(WorkerFailures, ANewMembershipBeginsWithNobodyDone) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-1", 0);
  cluster.settle();
  cluster.end_pod("digits-worker-0", 1);
  cluster.settle();
  EXPECT_TRUE(cluster.status().succeeded_ranks.empty());
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_EQ(cluster.pods.size(), 2U);
}

}  // namespace
}  // namespace muster::op::testing
