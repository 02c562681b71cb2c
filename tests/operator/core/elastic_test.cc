// tests/operator/core/elastic_test.cc: workers of a training come and go, and the others keep their pods
#include "operator/core/elastic.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

std::string name_of(int index) { return "digits-worker-" + std::to_string(index); }

class Elastic : public ::testing::Test {
 protected:
  explicit Elastic(const Json& object = job().max_restarts(2).json()) : cluster_(object) {
    cluster_.bring_up();
    for (const auto& [name, pod] : cluster_.pods) uids_[name] = cluster_.uid_of(name);
  }

  [[nodiscard]] std::vector<std::int64_t> roster() const {
    std::vector<std::int64_t> indexes;
    for (const api::RosterMember& each : cluster_.status().roster) indexes.push_back(each.index);
    return indexes;
  }
  // Everybody but `index` has the pod that it began with.
  void expect_others_kept(int index) {
    for (const auto& [name, uid] : uids_) {
      if (name == name_of(index)) continue;
      ASSERT_TRUE(cluster_.pods.contains(name)) << name;
      EXPECT_EQ(cluster_.uid_of(name), uid) << name;
      EXPECT_FALSE(cluster_.pods.at(name)["metadata"].contains("deletionTimestamp")) << name;
    }
  }
  // What became of it is gone, and its replacement answers.
  void come_back() {
    cluster_.settle();
    cluster_.finish_deletions();
    cluster_.settle();
    cluster_.start_pods();
    cluster_.settle();
  }
  [[nodiscard]] std::string event(const std::string& reason) const {
    std::string message;
    for (const EmitEvent& each : cluster_.events)
      if (each.reason == reason) message = each.message;
    return message;
  }
  [[nodiscard]] const control::v1::Assignment& told(int index) const {
    return cluster_.assignments.at(cluster_.uid_of(name_of(index)));
  }

  ClusterModel cluster_;
  std::map<std::string, std::string> uids_;
};

TEST_F(Elastic, AWorkerThatFailsIsReplacedAloneAndCounts) {
  cluster_.end_pod(name_of(2), 137);
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.status().membership, 2);
  EXPECT_THAT(roster(), ElementsAre(0, 1, 3));
  EXPECT_EQ(cluster_.status().phase, "Running");
  EXPECT_THAT(event("WorkerLost"), HasSubstr("worker 2 (digits-worker-2) exited with code 137 (SIGKILL)"));
  EXPECT_THAT(event("WorkerLost"), HasSubstr("training goes on with 3 of 4 workers; restart 1 of 2"));
  EXPECT_EQ(told(0).membership(), 1) << "it is in the status before anybody is told";
  cluster_.settle();
  for (const int index : {0, 1, 3}) EXPECT_EQ(told(index).membership(), 2);
  EXPECT_EQ(told(3).worker().rank(), 2);
  EXPECT_EQ(told(3).worker().roster_size(), 3);
  expect_others_kept(2);
}

TEST_F(Elastic, ItsReplacementJoinsAndRanksBehindTheOthers) {
  cluster_.end_pod(name_of(0), 137);
  come_back();
  EXPECT_THAT(roster(), ElementsAre(1, 2, 3, 0));
  EXPECT_EQ(cluster_.status().membership, 3);
  EXPECT_EQ(told(0).worker().rank(), 3);
  EXPECT_EQ(told(1).worker().rank(), 0);
  EXPECT_EQ(event("WorkerJoined"), "worker 0 joined: 4 of 4 workers train");
  EXPECT_EQ(cluster_.status().ready, "4/4");
  EXPECT_TRUE(cluster_.is("PodsReady"));
  expect_others_kept(0);
  EXPECT_EQ(cluster_.pass(), 0U);
}

TEST_F(Elastic, WhileOneIsReplacedTheConditionsTellSo) {
  cluster_.end_pod(name_of(1), 1);
  cluster_.settle();
  EXPECT_EQ(cluster_.status().ready, "3/4");
  EXPECT_FALSE(cluster_.is("PodsReady"));
  EXPECT_TRUE(cluster_.is("Running"));
  EXPECT_FALSE(cluster_.is("Restarting"));
}

TEST_F(Elastic, AnEvictionDoesNotCount) {
  cluster_.evict(name_of(1));
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_THAT(event("WorkerLost"), HasSubstr("not counted as a restart"));
  come_back();
  EXPECT_THAT(roster(), ElementsAre(0, 2, 3, 1));
  EXPECT_EQ(cluster_.status().disruptions, 1);
}

TEST_F(Elastic, APodThatIsDeletedByHandIsMadeAgain) {
  cluster_.pods.erase(name_of(3));
  cluster_.settle();
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_EQ(cluster_.status().incarnation, 1);
  come_back();
  EXPECT_EQ(roster().size(), 4U);
  EXPECT_EQ(cluster_.status().disruptions, 1);
  expect_others_kept(3);
}

TEST_F(Elastic, PastMaxRestartsTheJobFails) {
  for (int failure = 0; failure < 3; ++failure) {
    cluster_.advance(60s);
    cluster_.end_pod(name_of(2), 137, "the GPU is on fire");
    cluster_.settle();
    cluster_.finish_deletions();
    cluster_.advance(60s);  // past its backoff
    come_back();
  }
  EXPECT_TRUE(cluster_.is("Failed"));
  EXPECT_EQ(cluster_.condition("Failed")->reason, "MaxRestartsExceeded");
  EXPECT_THAT(cluster_.condition("Failed")->message, HasSubstr("the GPU is on fire"));
  EXPECT_EQ(cluster_.status().restarts, 2);
}

TEST_F(Elastic, FailuresOfOneCauseCountOnce) {
  cluster_.end_pod(name_of(1), 1, "loss is nan");
  cluster_.pass();
  cluster_.end_pod(name_of(3), 1, "loss is nan");
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_THAT(roster(), ElementsAre(0, 2));
  cluster_.end_pod(name_of(0), 1, "loss is nan");
  cluster_.end_pod(name_of(2), 1, "loss is nan");
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_EQ(cluster_.status().incarnation, 2) << "nobody has the state: from the checkpoint";
  EXPECT_THAT(roster(), IsEmpty());
}

TEST_F(Elastic, WhenNobodyIsLeftAllBeginAnew) {
  for (int index = 0; index < 4; ++index) cluster_.end_pod(name_of(index), 137);
  cluster_.pass();
  EXPECT_EQ(cluster_.status().incarnation, 2);
  EXPECT_EQ(cluster_.status().restarts, 1);
}

TEST_F(Elastic, APeersWordIsEarlyNews) {
  const std::string words = "rank 2 (127.1.0.3:8471) closed the connection at step 31";
  cluster_.agents.erase(cluster_.uid_of(name_of(2)));
  cluster_.lose_peer(name_of(0), words);
  const Decision first = cluster_.decide();
  EXPECT_EQ(first.agents.size(), 4U) << "whoever may be left is asked";
  EXPECT_LE(first.requeue_after, 300ms);
  EXPECT_GT(first.requeue_after, 0ms);
  cluster_.now += 300ms;
  cluster_.pass();
  EXPECT_THAT(roster(), ElementsAre(0, 1, 3));
  EXPECT_EQ(cluster_.status().restarts, 0) << "how it ended is not known yet";
  cluster_.settle();
  cluster_.end_pod(name_of(2), 137);
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_EQ(cluster_.status().membership, 2);
  come_back();
  EXPECT_THAT(roster(), ElementsAre(0, 1, 3, 2));
}

TEST_F(Elastic, ABrokenConnectionBetweenTwoThatLiveCostsNoPod) {
  cluster_.lose_peer(name_of(0), "rank 2 (127.1.0.3:8471) closed the connection");
  cluster_.lose_peer(name_of(2), "rank 0 (127.1.0.1:8471) closed the connection");
  cluster_.pass();
  cluster_.settle();
  EXPECT_THAT(roster(), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(cluster_.status().membership, 2);
  EXPECT_EQ(cluster_.status().restarts + cluster_.status().disruptions, 0);
  expect_others_kept(-1);
}

struct Words {
  const char* words;
  bool counts;
};
class ElasticStandstill : public Elastic, public ::testing::WithParamInterface<Words> {};

TEST_P(ElasticStandstill, WhoStandsStillIsReplacedAtOnceAndSoon) {
  cluster_.lose_peer(name_of(1), GetParam().words);
  cluster_.lose_peer(name_of(3), GetParam().words);
  cluster_.pass();
  EXPECT_THAT(roster(), ElementsAre(0, 1, 3));
  EXPECT_EQ(cluster_.status().restarts, GetParam().counts ? 1 : 0);
  EXPECT_EQ(cluster_.status().disruptions, GetParam().counts ? 0 : 1);
  EXPECT_THAT(event("WorkerLost"), HasSubstr("worker 2 stands still (digits-worker-2"));
  std::vector<DeletePod> deleted;
  for (const Action& action : cluster_.decide().actions)
    if (const auto* remove = std::get_if<DeletePod>(&action)) deleted.push_back(*remove);
  ASSERT_EQ(deleted.size(), 1U);
  EXPECT_EQ(deleted[0].name, name_of(2));
  EXPECT_EQ(deleted[0].grace_seconds, 1);
  expect_others_kept(2);
}
INSTANTIATE_TEST_SUITE_P(
    Words, ElasticStandstill,
    ::testing::Values(
        Words{"rank 2 (127.1.0.3:8471) stands still: nothing was heard of it for 850 ms", false},
        Words{"rank 2 (127.1.0.3:8471) stands still: it did not come to the ring's call in time", true}));

TEST_F(Elastic, OfTwoThatBlameEachOtherOnlyOneGoes) {
  cluster_.lose_peer(name_of(1), "rank 2 (127.1.0.3:8471) stands still: nothing was heard of it for 850 ms");
  cluster_.settle();
  cluster_.now += 1s;
  cluster_.lose_peer(name_of(2), "rank 1 (127.1.0.2:8471) stands still: nothing was heard of it for 850 ms");
  cluster_.settle();
  EXPECT_THAT(roster(), ElementsAre(0, 1, 3));
  EXPECT_EQ(cluster_.status().disruptions, 1);
}

TEST_F(Elastic, ScalingUpIsAMembershipOnly) {
  cluster_.object["spec"]["workers"]["replicas"] = 6;
  cluster_.object["metadata"]["generation"] = 2;
  come_back();
  EXPECT_THAT(roster(), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.status().membership, 2);
  EXPECT_EQ(cluster_.status().ready, "6/6");
  EXPECT_EQ(cluster_.status().restarts + cluster_.status().disruptions, 0);
  EXPECT_EQ(event("WorkerJoined"), "workers 4 and 5 joined: 6 of 6 workers train");
  expect_others_kept(-1);
}

TEST_F(Elastic, ScalingDownThoseWithTheHighestIndexesLeaveFirstAndThenGo) {
  cluster_.object["spec"]["workers"]["replicas"] = 2;
  cluster_.pass();
  EXPECT_THAT(roster(), ElementsAre(0, 1));
  cluster_.pass();
  EXPECT_EQ(cluster_.pods.size(), 4U);
  for (const auto& [name, pod] : cluster_.pods)
    EXPECT_FALSE(pod["metadata"].contains("deletionTimestamp")) << "the others do not go on yet: " << name;
  cluster_.settle();
  cluster_.finish_deletions();
  cluster_.settle();
  EXPECT_EQ(cluster_.pods.size(), 2U);
  EXPECT_EQ(cluster_.status().ready, "2/2");
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(event("Scaled"), "workers 2 and 3 left: 2 of 2 workers train");
  EXPECT_EQ(cluster_.status().restarts + cluster_.status().disruptions, 0);
  EXPECT_EQ(cluster_.pass(), 0U);
}

class ElasticMinimum : public Elastic {
 protected:
  ElasticMinimum() : Elastic(job().set("/spec/workers/minReplicas", 3).json()) {}
};

TEST_F(ElasticMinimum, FewerWaitAndSaySo) {
  cluster_.evict(name_of(1));
  cluster_.evict(name_of(2));
  cluster_.settle();
  EXPECT_THAT(roster(), ElementsAre(0, 3));
  EXPECT_EQ(told(0).membership(), 1) << "nobody is told to go on";
  EXPECT_FALSE(cluster_.is("Running"));
  EXPECT_EQ(cluster_.condition("Restarting")->message,
            "2 of 4 workers are left, fewer than workers.minReplicas 3: they wait");
  come_back();
  EXPECT_THAT(roster(), ElementsAre(0, 3, 1, 2));
  EXPECT_TRUE(cluster_.is("Running"));
  EXPECT_FALSE(cluster_.is("Restarting"));
  EXPECT_EQ(cluster_.status().incarnation, 1);
}

TEST_F(Elastic, ANewLeaderKnowsTheRanks) {
  cluster_.end_pod(name_of(0), 137);
  come_back();
  cluster_.agents.clear();
  cluster_.told.clear();
  cluster_.last_status_write.reset();
  cluster_.advance(61s);
  const Decision decision = cluster_.decide();
  EXPECT_THAT(decision.actions, IsEmpty());
  ASSERT_EQ(decision.agents.size(), 2U);
  EXPECT_EQ(decision.agents[0].pod, name_of(1)) << "rank 0";
}

TEST_F(Elastic, ProgressIsThatOfTheNewRankZeroAndDoesNotGoBack) {
  const auto tell = [this](int index, std::int64_t step) {
    auto& worker = *cluster_.agents.at(cluster_.uid_of(name_of(index))).mutable_worker();
    worker.set_step(step);
    worker.set_total_steps(100);
  };
  tell(0, 40);
  cluster_.settle();
  EXPECT_EQ(cluster_.status().progress["step"], 40);
  cluster_.end_pod(name_of(0), 137);
  cluster_.settle();
  tell(1, 39);
  cluster_.settle();
  EXPECT_EQ(cluster_.status().progress["step"], 40);
  tell(1, 41);
  cluster_.settle();
  EXPECT_EQ(cluster_.status().progress["step"], 41);
}

TEST_F(Elastic, DoneAreThoseWhoHoldTheState) {
  cluster_.end_pod(name_of(2), 137);
  cluster_.settle();
  cluster_.finish_deletions();
  cluster_.settle();  // its replacement has not started
  for (const int index : {0, 1, 3}) cluster_.end_pod(name_of(index), 0);
  cluster_.settle();
  EXPECT_TRUE(cluster_.is("Succeeded"));
  EXPECT_EQ(cluster_.condition("Succeeded")->message, "all 3 workers succeeded");
}

TEST_F(Elastic, ARuleMayStillRestartAll) {
  cluster_.object["spec"]["runPolicy"]["failurePolicy"]["rules"] =
      Json::array({{{"action", "RestartJob"}, {"onExitCodes", {{"operator", "In"}, {"values", {7}}}}}});
  cluster_.end_pod(name_of(1), 7);
  cluster_.pass();
  EXPECT_EQ(cluster_.status().incarnation, 2);
  EXPECT_EQ(cluster_.status().restarts, 1);
}

TEST_F(Elastic, OneThatNobodyCanReachIsReplacedWhenItsNodeIsLost) {
  cluster_.pods[name_of(2)]["spec"]["nodeName"] = "n-2";
  cluster_.lose_peer(name_of(0), "rank 2 (127.1.0.3:8471) closed the connection");
  cluster_.silent.insert(cluster_.uid_of(name_of(2)));
  cluster_.pass();
  cluster_.settle();
  EXPECT_THAT(roster(), ElementsAre(0, 1, 3));
  EXPECT_EQ(cluster_.status().disruptions, 0);
  cluster_.advance(15s);
  cluster_.lost_nodes = {"n-2"};
  cluster_.settle();
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_THAT(event("WorkerLost"), HasSubstr("its node n-2 is out of reach"));
  expect_others_kept(2);
}

// Whoever may write a status may write that.
TEST_F(Elastic, MoreHoldersThanMembersEndNoOperator) {
  const std::size_t workers = roster().size();
  cluster_.object["status"]["holders"] = 99;
  for (std::size_t i = 0; i < workers; ++i) cluster_.end_pod(name_of(static_cast<int>(i)), 0);
  cluster_.settle();
  EXPECT_TRUE(cluster_.is("Succeeded"));
}

}  // namespace
}  // namespace muster::op::testing
