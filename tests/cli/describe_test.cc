// tests/cli/describe_test.cc: what cli/describe promises
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/describe_view.h"
#include "cli/format.h"
#include "common/base/rfc3339.h"
#include "tests/cli/builders.h"

namespace muster::cli {
namespace {

using ::testing::HasSubstr;
using testing::job;
using testing::pod;

TEST(Describe, ShowsJobConditionsPodsAndEventsNewestLast) {
  Json object = job().step(5, 10).condition("Running", "PodsReady", "all pods are ready").json;
  object["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z";
  const Json late{{"lastTimestamp", "2026-01-01T00:01:30Z"},
                  {"reason", "Started"},
                  {"count", 3},
                  {"involvedObject", {{"kind", "Pod"}, {"name", "ring-worker-0"}}}};
  const Json early{{"lastTimestamp", "2026-01-01T00:00:10Z"}, {"reason", "Created"}};
  const std::string text = render_description(object, {pod().ended(7, "went wrong").json}, {late, early},
                                              *parse_rfc3339("2026-01-01T00:01:40Z"));
  EXPECT_THAT(text, HasSubstr("DistributedJob/ring in namespace default, 100s old"));
  EXPECT_THAT(text, HasSubstr("step 5 of 10"));
  EXPECT_THAT(text, HasSubstr("all pods are ready"));
  EXPECT_THAT(text, HasSubstr("exit code 7: went wrong"));
  EXPECT_THAT(text, HasSubstr("10s (x3)"));
  EXPECT_LT(text.find("Created"), text.find("Started"));
}

// Whoever may create events in a namespace writes all of their fields.
TEST(Describe, NoFieldOfAnEventSteersATerminal) {
  const std::string steers = "\x1b]0;title\a";
  const Json event{{"type", steers},
                   {"reason", steers},
                   {"message", steers},
                   {"involvedObject", {{"kind", steers}, {"name", steers}}}};
  const std::string text = render_description(job().json, {}, {event}, WallTime{}) + render_event(event);
  EXPECT_EQ(text.find_first_of("\x1b\a"), std::string::npos) << text;
  EXPECT_THAT(text, HasSubstr("?]0;title?/?]0;title?"));
}

TEST(Describe, ShowsEachLineOfAnEventOnALineOfItsOwn) {
  const Json event{{"reason", "Restarting"},
                   {"message", "worker 0 exited with code 137\nwaiting for \x1b the assignment"},
                   {"involvedObject", {{"kind", "DistributedJob"}, {"name", "slow"}}}};
  EXPECT_EQ(render_event(event),
            "event: DistributedJob/slow Restarting: worker 0 exited with code 137\n"
            "  waiting for ? the assignment");
}

TEST(Describe, ShowsTheSpecOfOtherKindsAndSurvivesNonsense) {
  const Json config{{"kind", "ConfigMap"}, {"metadata", {{"name", "c"}}}, {"spec", {{"a", 1}}}};
  EXPECT_THAT(render_description(config, {}, {}, WallTime{}), HasSubstr("Spec:\n  a: 1\n"));
  EXPECT_FALSE(render_description(Json::object(), {Json(5)}, {Json()}, WallTime{}).empty());
}

}  // namespace
}  // namespace muster::cli
