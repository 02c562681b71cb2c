// tests/cli/monitor_test.cc: what cli/monitor promises
#include "cli/monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/builders.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::job;
using testing::last_words;
using testing::pod;

const Instant kStart{};

Monitor monitor_of_a_job() {
  Monitor monitor({}, kStart);
  monitor.expect(job().phase("Pending").json);
  return monitor;
}

TEST(Monitor, SaysOneLineAtEachPhaseChange) {
  Monitor monitor = monitor_of_a_job();
  monitor.on_job(job().phase("Running").json, false, kStart + 1s);
  monitor.on_job(job().phase("Running").json, false, kStart + 2s);
  EXPECT_THAT(monitor.take_lines(), ElementsAre(HasSubstr("DistributedJob/ring: Running, 4/4 pods ready")));
  EXPECT_THAT(monitor.take_lines(), IsEmpty());
}

TEST(Monitor, SaysAWarningOnce) {
  Monitor monitor = monitor_of_a_job();
  Json object = job().phase("Running").json;
  object["status"]["progress"]["warnings"] = {"column \"id\" numbers the rows"};
  monitor.on_job(object, false, kStart + 1s);
  EXPECT_THAT(monitor.take_lines(),
              ElementsAre(HasSubstr("warning: column \"id\" numbers the rows"), HasSubstr("Running")));
  monitor.on_job(object, false, kStart + 2s);
  EXPECT_THAT(monitor.take_lines(), IsEmpty());
}

TEST(Monitor, SaysAtMostOneProgressLineInFiveSeconds) {
  Monitor monitor = monitor_of_a_job();
  monitor.on_job(job().phase("Running").json, false, kStart);
  (void)monitor.take_lines();
  int lines = 0;
  for (int i = 1; i <= 200; ++i) {
    monitor.on_job(job().step(i, 200).json, false, kStart + i * 100ms);
    lines += static_cast<int>(monitor.take_lines().size());
  }
  EXPECT_EQ(lines, 4) << "20 s of changes";
}

TEST(Monitor, ReportsAPodThatFailedOnceAndWantsItsLog) {
  Monitor monitor = monitor_of_a_job();
  EXPECT_FALSE(monitor.on_pod(pod().json, kStart));
  EXPECT_TRUE(monitor.on_pod(pod().ended(65, "no such folder").json, kStart + 1s));
  EXPECT_FALSE(monitor.on_pod(pod().ended(65, "no such folder").json, kStart + 2s));
  EXPECT_THAT(monitor.take_lines(),
              ElementsAre(HasSubstr("pod ring-worker-0 failed (exit code 65): no such folder")));
}

TEST(Monitor, TellsTheEndOfAParameterServerToo) {
  Monitor monitor = monitor_of_a_job();
  Json server = pod().ended(4, "disk full").json;
  server["metadata"]["labels"]["muster.dev/role"] = "server";
  EXPECT_TRUE(monitor.on_pod(server, kStart));
  EXPECT_THAT(monitor.take_lines(), ElementsAre(HasSubstr("failed (exit code 4): disk full")));
}

TEST(Monitor, TellsTheSignalAndThenTheLastLinesOfTheLog) {
  Monitor monitor = monitor_of_a_job();
  (void)monitor.on_pod(pod().json, kStart);
  EXPECT_TRUE(monitor.on_pod(pod().ended(137, "one\ntwo\nthree\n").json, kStart + 1s));
  EXPECT_THAT(
      monitor.take_lines(),
      ElementsAre(HasSubstr("pod ring-worker-0 failed (exit code 137 (SIGKILL))"), "  two", "  three"));
}

TEST(Monitor, IgnoresPodsOfOthers) {
  Monitor monitor = monitor_of_a_job();
  Json other = pod().ended(1, "x").json;
  other["metadata"]["namespace"] = "elsewhere";
  EXPECT_FALSE(monitor.on_pod(other, kStart));
  EXPECT_THAT(monitor.take_lines(), IsEmpty());
}

TEST(Monitor, SaysARestartAndMeasuresTheSpeedAnew) {
  Monitor monitor = monitor_of_a_job();
  monitor.on_job(job().step(10, 100).json, false, kStart + 10s);
  monitor.on_job(job().step(60, 100).json, false, kStart + 60s);
  EXPECT_EQ(monitor.jobs()[0].remaining(kStart + 60s), 40s);
  (void)monitor.take_lines();
  monitor.on_job(job().step(50, 100).restarts(1).json, false, kStart + 70s);
  EXPECT_THAT(monitor.take_lines(), ::testing::Contains(HasSubstr("restart 1")));
  EXPECT_EQ(monitor.jobs()[0].remaining(kStart + 70s), std::nullopt);
}

TEST(Monitor, IsDoneWhenEveryJobHasEndedAndNotBefore) {
  Monitor monitor = monitor_of_a_job();
  EXPECT_FALSE(monitor.done());
  monitor.on_job(job().phase("Succeeded").condition("Succeeded", "AllSucceeded", "").json, false,
                 kStart + 1s);
  EXPECT_TRUE(monitor.done());
}

TEST(Monitor, WaitsForTheLastWordsOfWorkersStillRunning) {
  Monitor monitor = monitor_of_a_job();
  (void)monitor.on_pod(pod().json, kStart);
  monitor.on_job(job().phase("Succeeded").condition("Succeeded", "AllSucceeded", "").json, false,
                 kStart + 1s);
  EXPECT_FALSE(monitor.reports_complete());
  (void)monitor.on_pod(pod().ended(0, last_words(0, "abc", 600)).json, kStart + 2s);
  EXPECT_TRUE(monitor.reports_complete());
  EXPECT_EQ(monitor.jobs()[0].reports.at(0).digest, "abc");
}

TEST(Monitor, WaitsForTheFailureOfThePodThatTheConditionNames) {
  Monitor monitor = monitor_of_a_job();
  (void)monitor.on_pod(pod().json, kStart);
  const std::string name = pod().json["metadata"]["name"];
  monitor.on_job(job().phase("Failed").condition("Failed", "PodFailed", "pod " + name + " failed").json,
                 false, kStart + 1s);
  EXPECT_FALSE(monitor.reports_complete());
  EXPECT_TRUE(monitor.on_pod(pod().ended(65, "").json, kStart + 2s)) << "its log is to be fetched";
  EXPECT_TRUE(monitor.reports_complete());
}

TEST(Monitor, CountsAJobThatWasDeletedAsFailed) {
  Monitor monitor = monitor_of_a_job();
  monitor.on_job(job().json, true, kStart + 1s);
  EXPECT_TRUE(monitor.done());
  EXPECT_TRUE(monitor.jobs()[0].view.failed);
}

}  // namespace
}  // namespace muster::cli
