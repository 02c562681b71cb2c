// tests/cli/job_view_test.cc: what cli/job_view promises
#include "cli/job_view.h"

#include <gtest/gtest.h>

#include "tests/cli/builders.h"

namespace muster::cli {
namespace {

using testing::federated;
using testing::job;
using testing::last_words;
using testing::pod;

TEST(JobView, ReadsProgressOfADistributedJob) {
  const JobView view = view_job(job()
                                    .step(40, 100)
                                    .progress("loss", 0.5)
                                    .progress("payloadBytesSent", 1200)
                                    .progress("payloadBytesExpected", 1200)
                                    .restarts(2)
                                    .json);
  EXPECT_EQ(view.at, 40);
  EXPECT_EQ(view.total, 100);
  EXPECT_EQ(view.loss, 0.5);
  EXPECT_EQ(view.bytes_sent, 1200U);
  EXPECT_EQ(view.bytes_expected, 1200U);
  EXPECT_EQ(view.restarts, 2);
  EXPECT_EQ(view.description, "cnn on fashion-mnist, 4 workers");
  EXPECT_TRUE(view.images);
}

TEST(JobView, CountsBothDirectionsOfAFederation) {
  const JobView view = view_job(federated()
                                    .progress("round", 3)
                                    .progress("bytesSent", 70)
                                    .progress("bytesReceived", 30)
                                    .progress("bytesExpected", 100)
                                    .json);
  EXPECT_TRUE(view.federated);
  EXPECT_EQ(view.at, 3);
  EXPECT_EQ(view.total, 50) << "from the spec, as long as the status does not tell";
  EXPECT_EQ(view.bytes_sent, 100U);
  EXPECT_EQ(view.description, "mlp on synthetic, 100 clients");
}

TEST(JobView, TakesReasonAndMessageFromTheFailedCondition) {
  const JobView view = view_job(job()
                                    .phase("Failed")
                                    .condition("Restarting", "PodFailed", "x")
                                    .condition("Failed", "InvalidData", "no such folder")
                                    .json);
  EXPECT_TRUE(view.failed);
  EXPECT_EQ(view.reason, "InvalidData");
  EXPECT_EQ(view.message, "no such folder");
}

TEST(JobView, IsPendingBeforeAnyStatusAndSurvivesNonsense) {
  EXPECT_EQ(view_job(Json::parse(R"({"kind":"DistributedJob","metadata":{"name":"x"}})")).phase, "Pending");
  for (const char* text :
       {"null", "5", "[]", R"({"status":5,"spec":[],"metadata":"x"})",
        R"({"kind":"FederatedRound","status":{"progress":{"round":"many","loss":{}},"conditions":{}}})"}) {
    EXPECT_FALSE(view_job(Json::parse(text)).finished()) << text;
    EXPECT_FALSE(view_pod(Json::parse(text)).failed()) << text;
  }
}

TEST(PodView, ReadsTheLastWordsOfAWorker) {
  const PodView view = view_pod(pod().index(2).ended(0, last_words(2, "abc", 600)).json);
  ASSERT_TRUE(view.report);
  EXPECT_EQ(view.index, 2);
  EXPECT_EQ(view.report->rank, 2);
  EXPECT_EQ(view.report->bytes_sent, 600U);
  EXPECT_EQ(view.report->digest, "abc");
}

TEST(PodView, TellsWhyAContainerFailed) {
  const PodView view = view_pod(pod().ended(65, "dataset /data: no such folder").json);
  EXPECT_TRUE(view.failed());
  EXPECT_EQ(view.exit, "code 65");
  EXPECT_EQ(view.message, "dataset /data: no such folder");
  EXPECT_EQ(view.container, "worker");
  EXPECT_EQ(view_pod(pod().ended(75, "muster.dev/ending: rank 2 is gone").json).message, "rank 2 is gone");
}

TEST(PodView, TellsWhyAPodWaits) {
  Json waiting = pod().json;
  waiting["status"] = Json::parse(R"({"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False",
      "reason":"Unschedulable","message":"0/1 nodes: not enough cpu"}]})");
  EXPECT_EQ(view_pod(waiting).message, "0/1 nodes: not enough cpu");
}

TEST(PodView, KnowsTheContainerThatDoesTheWork) {
  Json two = pod().json;
  two["spec"]["containers"] = {{{"name", "sidecar"}}, {{"name", "worker"}}};
  EXPECT_EQ(view_pod(two).main_container, "worker");
  two["spec"]["containers"] = {{{"name", "main"}}, {{"name", "sidecar"}}};
  EXPECT_EQ(view_pod(two).main_container, "main");
  two["spec"]["containers"] = {{{"name", "proxy"}}, {{"name", "main"}}};
  two["metadata"]["annotations"]["muster.dev/container"] = "main";
  EXPECT_EQ(view_pod(two).main_container, "main") << "whatever a webhook puts before it";
}

}  // namespace
}  // namespace muster::cli
