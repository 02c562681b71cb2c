// tests/cli/progress_test.cc: what cli/progress promises
#include "cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/format.h"
#include "tests/cli/builders.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::job;

Tracked tracked(const Json& object) {
  Tracked tracked;
  tracked.view = view_job(object);
  return tracked;
}

TEST(Bar, GrowsWithTheFractionAndKeepsItsWidth) {
  const Style ascii{80, false, false};
  EXPECT_EQ(render_bar(0, 12, ascii), "[          ]");
  EXPECT_EQ(render_bar(0.5, 12, ascii), "[====>     ]");
  EXPECT_EQ(render_bar(1, 12, ascii), "[==========]");
  EXPECT_EQ(render_bar(7, 12, ascii), "[==========]");
  EXPECT_EQ(render_bar(-1, 12, ascii), "[          ]");
  const Style unicode{80, false, true};
  for (double fraction = 0; fraction <= 1; fraction += 0.01) {
    ASSERT_EQ(display_width(render_bar(fraction, 20, unicode)), 20U) << fraction;
  }
}

TEST(ProgressBlock, ShowsStepLossAccuracySpeedAndBytesBesideTheFormula) {
  const Tracked job_state = tracked(job()
                                        .step(380, 704)
                                        .progress("loss", 0.4123)
                                        .progress("accuracy", 0.861)
                                        .progress("examplesPerSecond", 2140.4)
                                        .progress("payloadBytesSent", 128'400'000)
                                        .progress("payloadBytesExpected", 128'400'000)
                                        .json);
  const auto lines = render_job(job_state, Instant{} + 42s, {100, false, false});
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_THAT(lines[0], HasSubstr("DistributedJob/ring  Running  4/4 pods ready"));
  EXPECT_THAT(lines[0], HasSubstr("42s"));
  EXPECT_THAT(lines[1], HasSubstr(" 53%  step 380/704"));
  EXPECT_THAT(lines[2],
              HasSubstr("loss 0.4123   accuracy 86.10%   2,140 images/s   sent 128 MB (formula 128 MB)"));
}

TEST(ProgressBlock, NeverWrapsOnAnyTerminal) {
  const Json object = job()
                          .step(380, 704)
                          .progress("loss", 0.4)
                          .progress("payloadBytesSent", 128'400'000)
                          .condition("Restarting", "PodFailed", std::string(300, 'x'))
                          .json;
  for (std::size_t width = 19; width < 120; ++width) {
    for (const bool rich : {false, true}) {
      for (const std::string& line : render_job(tracked(object), Instant{} + 42s, {width, rich, rich})) {
        ASSERT_LE(display_width(line), width) << line;
      }
    }
  }
}

TEST(LiveBlock, GoesBackOverTheLinesItDrewBefore) {
  LiveBlock block;
  EXPECT_EQ(block.update({}, {"a", "b"}), "\x1b[Ja\nb\n");
  EXPECT_EQ(block.update({"news"}, {"c"}), "\x1b[2A\r\x1b[Jnews\nc\n");
  EXPECT_EQ(block.update({}, {}), "\x1b[1A\r\x1b[J");
}

TEST(ProgressBlock, LeavesOutJobsForWhichTheTerminalHasNoRows) {
  const std::vector<std::vector<std::string>> jobs{{"a", "a2"}, {"b", "b2"}, {"c", "c2"}};
  EXPECT_EQ(stack(jobs, {.height = 7}), (std::vector<std::string>{"a", "a2", "b", "b2", "c", "c2"}));
  const auto cut = stack(jobs, {.height = 6});
  ASSERT_EQ(cut.size(), 5U) << "the cursor's row stays free";
  EXPECT_EQ(cut[3], "b2");
  EXPECT_THAT(cut[4], HasSubstr("1 more"));
  EXPECT_EQ(stack(jobs, {.height = 1}).size(), 1U);
}

}  // namespace
}  // namespace muster::cli
