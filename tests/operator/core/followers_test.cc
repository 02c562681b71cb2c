// tests/operator/core/followers_test.cc: to whose Agents the operator listens, and what it makes of what it
// does not know after a takeover
#include <gmock/gmock.h>

#include <set>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;

std::set<std::string> listened(const ClusterModel& cluster) {
  std::set<std::string> names;
  for (const AgentAddress& agent : cluster.decide().agents) names.insert(agent.pod);
  return names;
}

// What another process of the operator knows of pods and of itself.
void take_over(ClusterModel& cluster) {
  cluster.agents.clear();
  cluster.refusals.clear();
  cluster.rejections.clear();
  cluster.credentials.clear();
  cluster.last_status_write.reset();
}

TEST(Followers, AllWorkersUntilTheyTrainThenRankZeroAndOneBeside) {
  ClusterModel cluster(job().workers(3).json());
  cluster.settle();
  cluster.start_pods();
  EXPECT_THAT(listened(cluster), SizeIs(3));
  cluster.pass();  // the roster
  for (auto& [uid, agent] : cluster.agents) agent.set_membership(1);
  cluster.agents.at(cluster.uid_of("digits-worker-0")).set_phase(control::v1::PHASE_STARTING);
  EXPECT_THAT(listened(cluster), SizeIs(3)) << "its ring is not complete";
  cluster.agents.at(cluster.uid_of("digits-worker-0")).set_phase(control::v1::PHASE_RUNNING);
  cluster.agents.at(cluster.uid_of("digits-worker-1")).set_phase(control::v1::PHASE_STARTING);
  EXPECT_THAT(listened(cluster), ElementsAre("digits-worker-0", "digits-worker-1"));
  cluster.pods["digits-worker-0"]["spec"]["nodeName"] = "a";
  cluster.pods["digits-worker-1"]["spec"]["nodeName"] = "a";
  cluster.pods["digits-worker-2"]["spec"]["nodeName"] = "b";
  EXPECT_THAT(listened(cluster), SizeIs(3)) << "the one on another node has said nothing of it yet";
  cluster.agents.at(cluster.uid_of("digits-worker-2")).set_phase(control::v1::PHASE_RUNNING);
  EXPECT_THAT(listened(cluster), ElementsAre("digits-worker-0", "digits-worker-2"));
}

TEST(Followers, AllWorkersOnceOneOfTheTwoIsLost) {
  for (const char* name : {"digits-worker-0", "digits-worker-1"}) {
    ClusterModel cluster(job().workers(3).json());
    cluster.bring_up();
    EXPECT_THAT(listened(cluster), SizeIs(2));
    cluster.silent.insert(cluster.uid_of(name));
    EXPECT_THAT(listened(cluster), SizeIs(3)) << name;
  }
}

TEST(Followers, AllWorkersOnceRankZeroHasLostItsRing) {
  ClusterModel cluster(job().workers(3).json());
  cluster.bring_up();
  cluster.agents.at(cluster.uid_of("digits-worker-0")).set_phase(control::v1::PHASE_WAITING);
  EXPECT_THAT(listened(cluster), SizeIs(3));
}

TEST(Followers, TheFirstRankThatIsLeftWhenRankZeroIsDone) {
  ClusterModel cluster(job().workers(3).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 0);
  EXPECT_THAT(listened(cluster), ElementsAre("digits-worker-1", "digits-worker-2"));
}

TEST(Followers, AfterATakeoverTheFirstRanksOfAJobThatHasRunForLongAreAskedFirst) {
  ClusterModel cluster(job().workers(3).json());
  cluster.bring_up();
  take_over(cluster);
  EXPECT_THAT(listened(cluster), SizeIs(3)) << "its pods have begun just now";
  cluster.advance(61s);
  EXPECT_THAT(listened(cluster), ElementsAre("digits-worker-0", "digits-worker-1"));
  cluster.agents[cluster.uid_of("digits-worker-0")].set_phase(control::v1::PHASE_WAITING);
  EXPECT_THAT(listened(cluster), SizeIs(3)) << "the operator before us did not get so far";
}

TEST(Followers, NobodyOfAnOlderIncarnation) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  cluster.end_pod("digits-worker-0", 0);
  cluster.pass();
  cluster.object["status"]["incarnation"] = 2;
  EXPECT_THAT(listened(cluster), IsEmpty());
}

TEST(Followers, ATakeoverOfWhatRunsWritesNothing) {
  for (const Json& object : {job().workers(3).json(), federated_round(10, 4)}) {
    ClusterModel cluster(object);
    cluster.bring_up();
    take_over(cluster);
    EXPECT_THAT(cluster.decide().actions, IsEmpty());
    cluster.advance(3600s);
    EXPECT_THAT(cluster.decide().actions, IsEmpty());
  }
}

TEST(Followers, ATakeoverKeepsWhatIsSaidOfPodsThatHaveNotToldYet) {
  ClusterModel cluster(job().workers(2).json());
  cluster.settle();
  cluster.start_pods();
  cluster.refusals[cluster.uid_of("digits-worker-1")] = failed_precondition("with another worker.rank");
  cluster.rejections[cluster.uid_of("digits-worker-1")] = "it proves another name";
  cluster.settle();
  ASSERT_TRUE(cluster.is("AssignmentRejected"));
  ASSERT_TRUE(cluster.is("CredentialsRejected"));
  take_over(cluster);
  cluster.credentials[cluster.secrets.begin()->first] = cluster.now;
  EXPECT_THAT(cluster.decide().actions, IsEmpty());
}

TEST(Followers, BytesOfWorkersThatAreNotListenedToAreThoseOfRankZeroUntilTheirLastWords) {
  ClusterModel cluster(job().workers(3).json());
  cluster.bring_up();
  auto& told = *cluster.agents.at(cluster.uid_of("digits-worker-0")).mutable_worker();
  told.set_total_steps(100);
  told.set_payload_bytes_sent(1000);
  told.set_payload_bytes_expected(1000);
  cluster.agents.at(cluster.uid_of("digits-worker-1")).mutable_worker()->set_payload_bytes_sent(7);
  cluster.settle();
  EXPECT_EQ(cluster.status().progress["payloadBytesSent"], 3000);
  EXPECT_EQ(cluster.status().progress["payloadBytesExpected"], 3000);
}

}  // namespace
}  // namespace muster::op::testing
