// local/tests/runtime/hooks_test.cc: lifecycle hooks around real processes
#include <gtest/gtest.h>

#include <algorithm>

#include "local/tests/runtime/node_fixture.h"

namespace muster::local {
namespace {

class HooksTest : public NodeTest {
 protected:
  static PodBuilder with_scratch(PodBuilder pod) {
    return pod.set("volumes", {{{"name", "scratch"}, {"emptyDir", Json::object()}}})
        .on_main("volumeMounts", {{{"name", "scratch"}, {"mountPath", "/scratch"}}});
  }
  bool recorded(const std::string& reason) {
    return std::ranges::any_of(api_.events(), [&](const NodeEvent& event) { return event.reason == reason; });
  }
};

Json shell(const std::string& script) { return {{"exec", {{"command", {"sh", "-c", script}}}}}; }

TEST_F(HooksTest, APodIsReadyOnlyWhenPostStartIsOver) {
  run(with_scratch(
          PodBuilder("hooked").shell("until test -e /scratch/go; do sleep 0.02; done; exec sleep 100"))
          .on_main(
              "lifecycle",
              {{"postStart", shell("touch /scratch/seen; until test -e /scratch/go; do sleep 0.02; done")}}));
  ASSERT_TRUE(phase("hooked", "Running"));
  const auto ready = [](const Json& pod) {
    const Json& statuses = member(pod, "status", "containerStatuses");
    return statuses.is_array() && boolean(member(statuses[0], "ready"));
  };
  EXPECT_FALSE(ready(api_.object("pods", "test", "hooked")));
  const fs::path scratch = folder_.path() / "run/pods/uid-hooked/volumes/scratch";
  std::ofstream(scratch / "go").flush();
  EXPECT_TRUE(api_.until("test", "hooked", ready));
  EXPECT_TRUE(fs::exists(scratch / "seen"));
}

TEST_F(HooksTest, APostStartThatFailsEndsTheContainer) {
  run(PodBuilder("broken")
          .shell("exec sleep 100")
          .on_main("lifecycle", {{"postStart", shell("echo no; exit 3")}}));
  ASSERT_TRUE(phase("broken", "Failed"));
  EXPECT_TRUE(recorded("FailedPostStartHook"));
  EXPECT_TRUE(recorded("Killing"));
}

TEST_F(HooksTest, PreStopComesBeforeSigterm) {
  run(with_scratch(PodBuilder("polite").shell(
                       "trap 'test -e /scratch/stopped && echo after the hook; exit 0' TERM; echo up; "
                       "while true; do sleep 0.02; done"))
          .on_main("lifecycle", {{"preStop", shell("sleep 0.2; touch /scratch/stopped")}}));
  ASSERT_TRUE(phase("polite", "Running"));
  ASSERT_TRUE(log_shows("polite", "up"));
  EXPECT_EQ(log_until_deleted("polite"), "up\nafter the hook\n");
}

TEST_F(HooksTest, APreStopThatTakesTooLongEndsWithTheGracePeriod) {
  run(PodBuilder("slow")
          .shell("exec sleep 100")
          .on_main("lifecycle", {{"preStop", {{"sleep", {{"seconds", 90}}}}}}));
  ASSERT_TRUE(phase("slow", "Running"));
  const Instant before = std::chrono::steady_clock::now();
  api_.begin_deletion("test", "slow", 1);
  ASSERT_TRUE(gone("slow"));
  EXPECT_GE(std::chrono::steady_clock::now() - before, milliseconds(990));
}

TEST_F(HooksTest, APreStopThatFailsIsToldAndTheContainerEnds) {
  run(PodBuilder("fails").shell("exec sleep 100").on_main("lifecycle", {{"preStop", shell("exit 1")}}));
  ASSERT_TRUE(phase("fails", "Running"));
  api_.begin_deletion("test", "fails", 20);
  ASSERT_TRUE(gone("fails"));
  EXPECT_TRUE(recorded("FailedPreStopHook"));
}

}  // namespace
}  // namespace muster::local
