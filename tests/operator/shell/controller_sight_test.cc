// tests/operator/shell/controller_sight_test.cc: what a pass sees of pods, nodes and the authority, and what
// it asks
#include "tests/operator/shell/controller_fixture.h"

namespace muster::op {
namespace {

TEST_F(ControllerTest, APodOfAnotherNamespaceIsNotOursWhateverItsOwnerReferencesSay) {
  Json stranger = pod_manifest();
  stranger["metadata"]["namespace"] = "evil";
  stranger["metadata"]["uid"] = "q";
  stranger["status"] = {{"phase", "Failed"}};
  cache_.observe_write(kube::kPods, stranger);
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  EXPECT_TRUE(seen_.pods.empty());
  cache_.observe_write(kube::kPods, pod_manifest());
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  ASSERT_EQ(seen_.pods.size(), 1U);
  EXPECT_EQ(seen_.pods[0].uid, "p");
}

TEST_F(ControllerTest, APodThatIsGoneByTheServersWordIsNotSeenAgain) {
  const auto remove = [this](const std::string& uid, int code, const std::string& reason) {
    decision_.actions = {DeletePod{"x-worker-0", uid, {}}};
    writes_->will_json(code, refusal(code, reason));
    EXPECT_EQ(pass(), Controller::Outcome::kRequeueAfter) << "no event may come";
    decision_.actions.clear();
    EXPECT_EQ(pass(), Controller::Outcome::kDone);
    return seen_.pods.size();
  };
  cache_.observe_write(kube::kPods, pod_manifest());
  EXPECT_EQ(remove("p", 404, "NotFound"), 0U);
  Json anew = pod_manifest();
  anew["metadata"]["uid"] = "p2";
  cache_.observe_write(kube::kPods, anew);
  EXPECT_EQ(remove("p", 404, "NotFound"), 1U) << "another one of the same name";
  EXPECT_EQ(remove("p2", 409, "Conflict"), 0U);
}

TEST_F(ControllerTest, AsksForTheNodeOfAPodThatDoesNotGoAway) {
  Json pod = pod_manifest();
  pod["spec"]["nodeName"] = "n1";
  cache_.observe_write(kube::kPods, pod);
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  EXPECT_TRUE(asked().empty()) << "it lives";
  pod["metadata"]["deletionTimestamp"] = "2020-01-01T00:00:00Z";
  cache_.observe_write(kube::kPods, pod);
  writes_->will_json(200, {{"spec", {{"taints", {{{"key", "node.kubernetes.io/unreachable"}}}}}}});
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  EXPECT_EQ(asked(), std::vector<std::string>{"GET /api/v1/nodes/n1"}) << "an answer counts for a while";
  EXPECT_TRUE(seen_.lost_nodes.contains("n1"));
}

TEST_F(ControllerTest, WhenThePodsEndWasSeenIsRememberedByItsUid) {
  const auto ended = [this](const std::string& uid, const std::string& version) {
    Json pod = pod_manifest();
    pod["metadata"]["uid"] = uid;
    pod["metadata"]["resourceVersion"] = version;
    pod["status"] = {
        {"phase", "Failed"},
        {"containerStatuses",
         {{{"name", "worker"},
           {"state", {{"terminated", {{"exitCode", 75}, {"finishedAt", "2020-01-01T00:00:00Z"}}}}}}}}};
    cache_.observe_write(kube::kPods, pod);
    pass();
    return seen_.pods.at(0).sighted.value_or(WallTime{});
  };
  const WallTime before = std::chrono::system_clock::now();
  const WallTime first = ended("p", "6");
  EXPECT_GE(first, before) << "not when the node's clock says that it ended";
  EXPECT_EQ(ended("p", "7"), first);
  EXPECT_GT(ended("q", "8"), first);
}

TEST_F(ControllerTest, ANodeIsLostWhenItIsTaintedSoOrGoneAndNotWhenNobodyKnows) {
  writes_->will_json(200, {{"spec", {{"taints", {{{"key", "node.kubernetes.io/not-ready"}}}}}}});
  EXPECT_FALSE(nodes_.lost("a"));
  writes_->will_json(200, {{"spec", {{"taints", {{{"key", "node.kubernetes.io/out-of-service"}}}}}}});
  EXPECT_TRUE(nodes_.lost("b"));
  writes_->will_json(404, refusal(404, "NotFound"));
  EXPECT_TRUE(nodes_.lost("c"));
  writes_->will_json(403, refusal(403, "Forbidden"));
  EXPECT_FALSE(nodes_.lost("d"));
  writes_->will(unavailable("no connection"));
  EXPECT_FALSE(nodes_.lost("e"));
}

TEST_F(ControllerTest, APodThatItsNodeDisruptsIsLookedAtAgainOnce) {
  Json pod = pod_manifest();
  pod["spec"]["nodeName"] = "bad";
  pod["status"]["phase"] = "Running";
  const auto looks = [&] {
    return std::ranges::count_if(lists_->requests(), [](const kube::HttpRequest& request) {
      return request.target.ends_with("/pods/x-worker-0");
    });
  };
  pod_at_server_ = pod;
  cache_.observe_write(kube::kPods, pod);
  pass();
  EXPECT_TRUE(seen_.pods.at(0).disrupted);
  pass();
  EXPECT_EQ(looks(), 1);

  pod["metadata"]["uid"] = "q";
  pod["metadata"]["resourceVersion"] = "7";
  cache_.observe_write(kube::kPods, pod);
  pod["metadata"]["resourceVersion"] = "8";
  pod["status"]["phase"] = "Succeeded";
  pod_at_server_ = pod;
  pass();
  EXPECT_EQ(looks(), 2);
  EXPECT_EQ(seen_.pods.at(0).phase, PodPhase::kSucceeded) << "it had ended before its node broke";
  EXPECT_FALSE(seen_.pods.at(0).disrupted);
}

TEST_F(ControllerTest, PodsWithKeysRaiseADoubtWhenTheyLeaveOrAreOfAnotherAuthority) {
  Json pod = pod_manifest();
  const auto pass_with = [&](const std::string& ca, bool leaves) {
    pod["metadata"]["resourceVersion"] = std::to_string(100 + decided_);
    pod["metadata"]["labels"]["muster.dev/ca"] = ca;
    if (leaves) pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
    cache_.observe_write(kube::kPods, pod);
    doubts_.clear();
    return pass();
  };
  pass_with(issuer_.id(), false);
  EXPECT_THAT(doubts_, ::testing::IsEmpty());
  pass_with("00000000", false);
  EXPECT_THAT(doubts_, ::testing::ElementsAre(AuthorityDoubt::kPodsOfAnother));
  pass_with("", true);
  EXPECT_THAT(doubts_, ::testing::IsEmpty()) << "a program of a user";
  const int decided = decided_;
  authority_ = failed_precondition("another's");
  pass_with(issuer_.id(), true);
  EXPECT_THAT(doubts_, ::testing::ElementsAre(AuthorityDoubt::kPodsLeave));
  EXPECT_EQ(decided_, decided) << "nothing is done about it before";
}

}  // namespace
}  // namespace muster::op
