// tests/operator/core/credentials_test.cc: when the Secrets with keys are made, and what follows from an
// authority that is lost or a peer that is not believed
#include "operator/core/credentials.h"

#include <gmock/gmock.h>

#include "cluster_model.h"
#include "common/base/rfc3339.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Credentials, AThousandWorkersHave63Secrets) {
  ClusterModel cluster(job().workers(1000).json());
  cluster.bring_up();
  EXPECT_EQ(cluster.pods.size(), 1000U);
  EXPECT_EQ(cluster.secrets.size(), 63U);
  EXPECT_EQ(cluster.secret_writes, 63);
  EXPECT_TRUE(cluster.secrets.contains("digits-job-uid-cafe0123-worker-62"));
}

TEST(Credentials, AreMadeBeforeTheFirstPodOfTheirBlockAndNotAgain) {
  ClusterModel cluster(job().workers(17).json());
  const Decision decision = cluster.decide();
  std::set<std::int64_t> blocks;
  std::int64_t pods = 0;
  for (const Action& action : decision.actions) {
    if (const auto* made = std::get_if<CreateCredentials>(&action)) {
      EXPECT_EQ(made->first, pods) << "before its first pod";
      EXPECT_TRUE(blocks.insert(made->first).second);
    }
    if (std::holds_alternative<CreatePod>(action)) ++pods;
  }
  EXPECT_EQ(blocks, (std::set<std::int64_t>{0, 16}));
}

TEST(Credentials, ReplacementsAndScalingInsideABlockWriteNothing) {
  ClusterModel cluster(job().workers(4).json());
  cluster.bring_up();
  ASSERT_EQ(cluster.secret_writes, 1);
  cluster.end_pod("digits-worker-1", 1);
  for (int i = 0; i < 5; ++i) {
    cluster.advance(std::chrono::seconds(5));
    cluster.pass();
    cluster.finish_deletions();
  }
  cluster.bring_up();
  EXPECT_EQ(cluster.status().restarts, 1);
  cluster.object["spec"]["workers"]["replicas"] = 9;
  for (int i = 0; i < 5; ++i) {
    cluster.advance(std::chrono::seconds(5));
    cluster.pass();
    cluster.finish_deletions();
  }
  cluster.bring_up();
  EXPECT_EQ(cluster.pods.size(), 9U);
  EXPECT_EQ(cluster.secret_writes, 1);
}

TEST(Credentials, AnOperatorThatHasJustStartedKnowsABlockByItsPods) {
  ClusterModel cluster(federated_round(40, 2));
  cluster.bring_up();
  ASSERT_EQ(cluster.secret_writes, 1 + 2) << "one of the aggregator, two of 20 client pods";
  cluster.credentials.clear();
  cluster.end_pod("phones-client-3", 1);
  for (int i = 0; i < 5; ++i) {
    cluster.advance(std::chrono::seconds(5));
    cluster.pass();
    cluster.finish_deletions();
  }
  EXPECT_EQ(cluster.pods.size(), 21U);
  EXPECT_EQ(cluster.secret_writes, 3);
}

TEST(Credentials, ContainersOfTheUsersOwnHaveNone) {
  ClusterModel cluster(job().plain().json());
  cluster.bring_up();
  EXPECT_EQ(cluster.secret_writes, 0);
  cluster.ca = "0badcafe";
  cluster.settle();
  EXPECT_EQ(cluster.status().disruptions, 0) << "they have no keys that could be of another authority";
}

TEST(Credentials, ALostAuthorityReplacesWorkersAsADisruption) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  cluster.ca = "0badcafe";
  cluster.credentials.clear();
  cluster.pass();
  EXPECT_EQ(cluster.status().disruptions, 1);
  EXPECT_EQ(cluster.status().restarts, 0);
  EXPECT_THAT(cluster.condition("Restarting")->message,
              HasSubstr("digits-worker-0 has keys of authority cafe0123, the operator's is 0badcafe"));
  cluster.pass();
  cluster.finish_deletions();
  cluster.bring_up();
  EXPECT_EQ(cluster.status().disruptions, 1) << "the new pods have keys of the new one";
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_TRUE(cluster.secrets.contains("digits-job-uid-0badcafe-worker-0"));
}

TEST(Credentials, ALostAuthorityReplacesAFederationsPodsOnce) {
  ClusterModel cluster(federated_round(4, 2));
  cluster.bring_up();
  cluster.ca = "0badcafe";
  cluster.credentials.clear();
  for (int i = 0; i < 5; ++i) {
    cluster.advance(std::chrono::seconds(5));
    cluster.pass();
    cluster.finish_deletions();
  }
  cluster.bring_up();
  EXPECT_EQ(cluster.status().disruptions, 1);
  EXPECT_EQ(cluster.status().restarts, 0);
  EXPECT_EQ(cluster.status().phase, "Running");
  for (const auto& [name, pod] : cluster.pods)
    EXPECT_EQ(pod["metadata"]["labels"]["muster.dev/ca"], "0badcafe");
}

TEST(Credentials, APodThatDoesNotBelieveTheOperatorIsToldWithItsSecretAndTheRemedy) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  const std::string uid = cluster.uid_of("digits-worker-1");
  cluster.rejections[uid] = "it proves another name";
  cluster.settle();
  const api::Condition* told = cluster.condition("CredentialsRejected");
  ASSERT_NE(told, nullptr);
  EXPECT_TRUE(told->status);
  EXPECT_THAT(told->message, HasSubstr("digits-worker-1: it proves another name"));
  EXPECT_THAT(told->message, HasSubstr("Secret default/digits-job-uid-cafe0123-worker-0"));
  EXPECT_THAT(told->message, HasSubstr("delete it and the pod"));
  EXPECT_EQ(cluster.count_events("CredentialsRejected"), 1);
  cluster.rejections.clear();
  cluster.settle();
  EXPECT_FALSE(cluster.is("CredentialsRejected"));
}

TEST(Credentials, ASecretThatPodsWaitForInVainIsMadeAgainOnceAMinute) {
  ClusterModel cluster(job().workers(2).json());
  cluster.settle();
  ASSERT_EQ(cluster.secret_writes, 1);
  cluster.advance(std::chrono::minutes(5));
  cluster.settle();
  EXPECT_EQ(cluster.secret_writes, 1) << "nothing waits for keys that has no node yet";
  for (auto& [name, pod] : cluster.pods) pod["spec"]["nodeName"] = "n-1";
  cluster.settle();
  EXPECT_EQ(cluster.secret_writes, 2);
  EXPECT_EQ(cluster.pass(), 0U);
  EXPECT_EQ(cluster.decide().requeue_after, std::chrono::seconds(59)) << "a minute after the last one";
  cluster.advance(std::chrono::minutes(1));
  cluster.pass();
  EXPECT_EQ(cluster.secret_writes, 3);
  cluster.start_pods();
  cluster.advance(std::chrono::minutes(5));
  cluster.settle();
  EXPECT_EQ(cluster.secret_writes, 3);
}

TEST(Credentials, ASecretWhosePodIsNotBelievedIsMadeAgainForTheCaseThatItIsGone) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  cluster.rejections[cluster.uid_of("digits-worker-0")] = "it proves another name";
  cluster.advance(std::chrono::minutes(2));
  cluster.pass();
  EXPECT_EQ(cluster.secret_writes, 2);
  cluster.pass();
  EXPECT_EQ(cluster.secret_writes, 2);
}

TEST(Credentials, APodThatItsNodePreparesInVainIsToldAfterAMinute) {
  ClusterModel cluster(job().workers(2).json());
  cluster.settle();
  cluster.pods.at("digits-worker-0")["status"]["conditions"] =
      Json::array({{{"type", "PodScheduled"}, {"status", "False"}}});
  Json& pod = cluster.pods.at("digits-worker-1");
  cluster.advance(std::chrono::hours(1));  // in the scheduler's queue
  pod["spec"]["nodeName"] = "n-1";
  pod["status"] = {
      {"phase", "Pending"},
      {"conditions",
       {{{"type", "PodScheduled"}, {"status", "True"}, {"lastTransitionTime", rfc3339(cluster.now)}}}},
      {"containerStatuses",
       {{{"name", "worker"}, {"state", {{"waiting", {{"reason", "ContainerCreating"}}}}}}}}};
  cluster.settle();
  EXPECT_THAT(cluster.condition("PodsReady")->message, Not(HasSubstr("kubectl describe pod")));
  EXPECT_LE(cluster.decide().requeue_after, std::chrono::minutes(1));
  cluster.advance(std::chrono::minutes(1));
  cluster.settle();
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "ContainerCreating");
  EXPECT_THAT(
      cluster.condition("PodsReady")->message,
      HasSubstr("digits-worker-1 waits for its volumes, network or image on n-1: kubectl describe pod "
                "digits-worker-1 --namespace default"));
  EXPECT_THAT(cluster.condition("PodsReady")->message, Not(HasSubstr("Secret")));
  cluster.found_credentials.insert("digits-job-uid-cafe0123-worker-0");
  cluster.settle();
  EXPECT_THAT(cluster.condition("PodsReady")->message,
              HasSubstr("Secret digits-job-uid-cafe0123-worker-0 with its keys was there already"));
}

TEST(Credentials, NamesCarryUidAndAuthority) {
  const api::ObjectMeta owner{.name = "digits",
                              .ns = "team",
                              .uid = "5a1c0b3e-0d6f-4a55-9f0a-0123456789ab",
                              .resource_version = {},
                              .generation = 1,
                              .deletion = {},
                              .queue = {},
                              .queue_priority = {}};
  EXPECT_EQ(credentials_name(owner, "cafe0123", "client", 15), "digits-5a1c0b3e-cafe0123-client-0");
  EXPECT_EQ(credentials_name(owner, "cafe0123", "client", 16), "digits-5a1c0b3e-cafe0123-client-1");
}

}  // namespace
}  // namespace muster::op::testing
