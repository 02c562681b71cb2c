// tests/cli/status_test.cc: what `muster status` and `muster top` show
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/status_view.h"
#include "common/base/rfc3339.h"
#include "tests/cli/builders.h"

namespace muster::cli {
namespace {

using testing::federated;
using ::testing::HasSubstr;
using testing::job;
using ::testing::Not;
using testing::pod;

Json running() {
  Json object =
      job().step(1234, 5000).progress("examplesPerSecond", 2140.4).progress("loss", 0.3123).restarts(1).json;
  object["spec"]["runPolicy"]["maxRestarts"] = 3;
  object["status"]["membership"] = 2;
  object["status"]["incarnation"] = 2;
  return object;
}
Json warning(const char* time, const char* message) {
  return {{"type", "Warning"}, {"reason", "Restarting"}, {"lastTimestamp", time}, {"message", message}};
}

TEST(Status, TellsTheRankOfAWorkerWhereItIsNotItsIndex) {
  Json object = running();
  std::vector<Json> pods;
  for (int index = 0; index < 3; ++index) {
    pods.push_back(pod().index(index).json);
    pods.back()["metadata"]["uid"] = "uid-" + std::to_string(index);
  }
  object["status"]["roster"] =
      Json::array({{{"index", 2}, {"podUID", "uid-2"}}, {{"index", 1}, {"podUID", "uid-1"}}});
  const std::string text = render_status(object, pods, {}, *parse_rfc3339("2026-01-01T00:01:40Z"));
  EXPECT_THAT(text, HasSubstr("worker 0 (no member)"));
  EXPECT_THAT(text, HasSubstr("worker 1  "));
  EXPECT_THAT(text, HasSubstr("worker 2 (rank 0)"));
}

TEST(Status, IsATreeOfObjectMembershipAndPods) {
  Json first = pod().index(0).json;
  first["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z";
  const std::string text = render_status(
      running(), {pod().index(1).ended(7, "went wrong").json, first},
      {warning("2026-01-01T00:01:00Z", "worker 1 failed"), warning("2026-01-01T00:00:30Z", "long ago")},
      *parse_rfc3339("2026-01-01T00:01:40Z"));
  EXPECT_EQ(
      text.find("DistributedJob default/ring: Running, step 1,234 of 5,000 (24%), 2,140 examples/s, loss "
                "0.3123, restarts 1 of 3\n└─ membership 2, incarnation 2, pods 4/4 ready\n"),
      0u)
      << text;
  EXPECT_THAT(text,
              HasSubstr("├─ worker 0   ring-worker-0   Running   100s   step 1,234 of 5,000, loss 0.3123\n"));
  EXPECT_THAT(text,
              ::testing::ContainsRegex("└─ worker 1 +ring-worker-1 +Failed +- +.*code 7.*went wrong\n"));
  EXPECT_THAT(text, HasSubstr("last warning, 40s ago: Restarting: worker 1 failed\n"));
  EXPECT_THAT(text, Not(HasSubstr("long ago")));
}

std::vector<Json> running_pods() {
  std::vector<Json> pods;
  for (int index = 0; index < 3; ++index) {
    pods.push_back(pod().index(index).json);
    pods.back()["metadata"]["uid"] = "uid-" + std::to_string(index);
  }
  return pods;
}

TEST(Status, TellsOfEachRankWhatTheStatusHolds) {
  Json object = running();
  object["status"]["progress"]["slowestRank"] = 1;
  object["status"]["progress"]["slowdown"] = 2.34;
  object["status"]["podAttempts"] =
      Json::array({{{"index", 2}, {"attempt", 2}, {"failures", 1}, {"failedAt", "2026-01-01T00:00:40Z"}}});
  Json killed = warning("2026-01-01T00:01:00Z", "container worker was\nkilled");
  killed["involvedObject"] = {{"kind", "Pod"}, {"uid", "uid-1"}};
  const std::string text =
      render_status(object, running_pods(), {killed}, *parse_rfc3339("2026-01-01T00:01:40Z"));
  EXPECT_THAT(text, HasSubstr("step 1,234 of 5,000, loss 0.3123\n"));
  EXPECT_THAT(text, HasSubstr("step 1,234 of 5,000, the slowest, 2.3 times as long as the median worker, "
                              "Restarting: container worker was killed\n"));
  EXPECT_THAT(text, HasSubstr("step 1,234 of 5,000, replaced 2 times, 60s ago\n"));
  object["spec"]["synchronization"]["updates"] = "Asynchronous";
  const std::string each = render_status(object, running_pods(), {}, WallTime{});
  EXPECT_THAT(each, ::testing::ContainsRegex("worker 0 .* step 1,234 of 5,000"));
  EXPECT_THAT(each, Not(::testing::ContainsRegex("worker 1 [^\n]* step")));
}

TEST(Status, TellsWhichPartAServerHolds) {
  Json object = running();
  object["status"]["servers"] =
      Json::array({{{"index", 0}, {"podUID", "s0"}}, {{"index", 1}, {"podUID", "s1"}, {"anew", true}}});
  std::vector<Json> pods;
  for (const char* uid : {"s0", "s1", "s2"}) {
    pods.push_back(pod().index(uid[1] - '0').json);
    pods.back()["metadata"]["uid"] = uid;
    pods.back()["metadata"]["labels"]["muster.dev/role"] = "server";
  }
  object["status"]["serverAttempts"] =
      Json::array({{{"index", 0}, {"attempt", 1}, {"failedAt", "2026-01-01T00:00:40Z"}}});
  const std::string text = render_status(object, pods, {}, *parse_rfc3339("2026-01-01T00:01:40Z"));
  EXPECT_THAT(text, ::testing::ContainsRegex("server 0 .*part 1 of 2, replaced once, 60s ago\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("server 1 .*part 2 of 2, which it is getting\n"));
  EXPECT_THAT(text, HasSubstr("server 2 (no member)"));
}

TEST(Suspension, OfAnObjectThatHasEndedIsNone) {
  EXPECT_EQ(why_not_suspended(job().phase("Succeeded").condition("Succeeded", "Completed", "").json, true),
            "DistributedJob/ring has succeeded: there is nothing to suspend; delete it and apply it again "
            "for another run");
  EXPECT_THAT(why_not_suspended(job().phase("Failed").condition("Failed", "X", "").json, false),
              HasSubstr("has failed: there is nothing to resume"));
  EXPECT_EQ(why_not_suspended(running(), true), "");
}

TEST(Suspension, ByAnotherThanSpecSuspendIsNotEndedByResume) {
  Json held = job().phase("Suspended").condition("Suspended", "Suspended", "spec.workers.replicas is 0").json;
  EXPECT_EQ(why_not_suspended(held, false),
            "DistributedJob/ring waits for something else than spec.suspend, which is not set: Suspended: "
            "spec.workers.replicas is 0");
  held["spec"]["suspend"] = true;
  EXPECT_EQ(why_not_suspended(held, false), "");
}

TEST(Status, OfAnotherControllersObjectNamesIt) {
  Json object = job().json;
  object["spec"]["managedBy"] = "kueue.x-k8s.io/multikueue";
  object.erase("status");
  EXPECT_THAT(
      render_status(object, {}, {}, WallTime{}),
      HasSubstr("ring: ManagedElsewhere\nManagedElsewhere: spec.managedBy is kueue.x-k8s.io/multikueue: "
                "that controller runs it"));
}

TEST(Status, OfAProgramThatTellsNoStepIsItsPercentage) {
  const std::string text = render_status(
      job().phase("Running").progress("percent", 45).progress("timeLeft", "13m15s").json, {}, {}, WallTime{});
  EXPECT_EQ(text, "DistributedJob default/ring: Running, 45%, 13m15s left\n");
}

TEST(Status, SaysWhyAJobFailed) {
  const std::string text = render_status(
      job().phase("Failed").condition("Failed", "TooManyRestarts", "worker 1: exit code 7").json, {}, {},
      WallTime{});
  EXPECT_EQ(text, "DistributedJob default/ring: Failed\nTooManyRestarts: worker 1: exit code 7\n");
}

TEST(Status, SurvivesNonsense) {
  EXPECT_FALSE(render_status(Json::object(), {Json(5)}, {Json()}, WallTime{}).empty());
}

TEST(Top, ShowsWhatHasNotEndedTheFastestFirst) {
  const std::string text = render_top(
      {job().phase("Failed").condition("Failed", "InvalidSpec", "no").json, federated().json, running()});
  EXPECT_THAT(text, HasSubstr("NAMESPACE"));
  EXPECT_LT(text.find("2,140 examples/s"), text.find("fedavg"));
  EXPECT_THAT(text, Not(HasSubstr("Failed")));
  EXPECT_THAT(text, HasSubstr("1 of 3"));
}

}  // namespace
}  // namespace muster::cli
