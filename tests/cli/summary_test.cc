// tests/cli/summary_test.cc: what cli/summary promises
#include "cli/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cli/format.h"
#include "common/base/text.h"
#include "tests/cli/builders.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::job;
using testing::last_words;
using testing::pod;

Outcome outcome_of(const std::vector<std::string>& digests, std::uint64_t bytes = 600) {
  Monitor monitor({}, Instant{});
  monitor.expect(job().json);
  for (int rank = 0; rank < static_cast<int>(digests.size()); ++rank) {
    const auto words = last_words(rank, digests[static_cast<std::size_t>(rank)], bytes);
    (void)monitor.on_pod(pod().index(rank).ended(0, words).json, Instant{} + 1s);
  }
  monitor.on_job(job().phase("Succeeded").step(99, 100).condition("Succeeded", "AllSucceeded", "").json,
                 false, Instant{} + 90s);
  return make_outcome(monitor.jobs().front(), Instant{} + 100s);
}

TEST(Summary, AddsUpTheBytesOfAllRanksAndComparesTheirParameters) {
  const Outcome outcome = outcome_of({"abc", "abc", "abc", "abc"});
  EXPECT_EQ(outcome.bytes_sent, 2400U);
  EXPECT_EQ(outcome.bytes_expected, 2400U);
  EXPECT_TRUE(outcome.digests_equal);
  EXPECT_EQ(outcome.view.at, 100) << "the last words are newer than the last status";
  const std::string text = render_summary({outcome}, 100);
  EXPECT_THAT(text, HasSubstr("2,400 = 2,400 of the formula"));
  EXPECT_THAT(text, HasSubstr("abc on all 4 ranks"));
  EXPECT_THAT(text, HasSubstr("1m30s"));
  EXPECT_THAT(text, HasSubstr("90.00%"));
}

TEST(Summary, ShoutsWhenRanksOrBytesDiffer) {
  const std::string text = render_summary({outcome_of({"abc", "abd"}, 601)}, 100);
  EXPECT_THAT(text, HasSubstr("DIFFERENT between the 2 ranks"));
  EXPECT_THAT(text, HasSubstr("1,202 != 1,200 of the formula"));
}

TEST(Summary, ARankWithoutADigestIsNotEqual) {
  EXPECT_FALSE(outcome_of({"abc", ""}).digests_equal);
  EXPECT_FALSE(outcome_of({}).digests_equal);
}

TEST(Summary, PutsObjectsSideBySideOnlyAsFarAsTheyFit) {
  const Outcome one = outcome_of({"abc"});
  const auto lines = [](const std::string& text) { return std::count(text.begin(), text.end(), '\n'); };
  EXPECT_GT(lines(render_summary({one, one, one}, 60)), lines(render_summary({one, one, one}, 300)));
}

TEST(Summary, EndsWithTheWarningsOfATrainingThatSucceeded) {
  Outcome outcome = outcome_of({"abc"});
  outcome.view.warnings = {"the training ended\nwith a loss of 8e+06"};
  EXPECT_THAT(
      render_summary({outcome, outcome_of({"abc"})}, 300),
      ::testing::EndsWith("warning: DistributedJob/ring: " + printable(outcome.view.warnings[0]) + "\n"));
  EXPECT_EQ(summary_json({outcome}, 1s)["objects"][0]["warnings"], Json(outcome.view.warnings));
}

TEST(Summary, IsOneJsonDocumentForPrograms) {
  const Json json = summary_json({outcome_of({"abc", "abc"})}, 2500ms);
  EXPECT_TRUE(json["succeeded"].get<bool>());
  EXPECT_DOUBLE_EQ(json["seconds"].get<double>(), 2.5);
  const Json& object = json["objects"][0];
  EXPECT_EQ(object["steps"], 100);
  EXPECT_EQ(object["payloadBytesSent"], object["payloadBytesExpected"]);
  EXPECT_EQ(object["parametersEqual"], true);
  EXPECT_EQ(object["modelFile"], nullptr);
}

TEST(Summary, TellsReasonMessageAndTheLogOfAFailure) {
  Monitor monitor({}, Instant{});
  monitor.expect(job().json);
  ASSERT_TRUE(monitor.on_pod(pod().ended(65, "bad").json, Instant{}));
  monitor.on_pod_log(view_pod(pod().json), "first\n\x1b[2Jsecond\n");
  monitor.on_job(job().phase("Failed").condition("Failed", "InvalidData", "no such folder").json, false,
                 Instant{} + 1s);
  const std::string text = render_failure(make_outcome(monitor.jobs().front(), Instant{} + 1s));
  EXPECT_THAT(text, HasSubstr("DistributedJob/ring failed: InvalidData: no such folder"));
  EXPECT_THAT(text, HasSubstr("  first\n  ?[2Jsecond\n"));
  EXPECT_THAT(render_failure(outcome_of({"abc"})), ::testing::IsEmpty());
}

}  // namespace
}  // namespace muster::cli
