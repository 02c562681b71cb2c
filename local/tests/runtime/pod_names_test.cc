// local/tests/runtime/pod_names_test.cc: names resolve inside real pods, with any resolver that reads
// /etc/hosts
#include "local/runtime/pod_names.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "local/tests/runtime/node_fixture.h"

namespace muster::local {
namespace {

std::string content_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

Json service(const std::string& name, bool all, const std::string& ns = "test") {
  return {{"metadata", {{"name", name}, {"namespace", ns}}},
          {"spec", {{"selector", {{"app", name}}}, {"publishNotReadyAddresses", all}}}};
}

Json labelled(PodBuilder builder, const std::string& app) {
  Json pod = builder.set("subdomain", app);
  pod["metadata"]["labels"]["app"] = app;
  return pod;
}

class PodNamesTest : public NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    PodNames names(folder_.path() / "trial");
    names.open(std::filesystem::path(MUSTER_BINARIES) / "muster-init");
    if (!names.problem().empty()) GTEST_SKIP() << names.problem();
  }
  std::string ip(const std::string& name) { return api_.object("pods", "test", name)["status"]["podIP"]; }
};

TEST_F(PodNamesTest, APodKnowsItsOwnNamesFromItsFirstInstant) {
  api_.put("services", service("ring", true));
  run(labelled(PodBuilder("ring-0").shell("getent hosts ring-0.ring; getent hosts ring-0; uname -n"),
               "ring"));
  ASSERT_TRUE(phase("ring-0", "Succeeded"));
  const std::string log = read(query("ring-0"));
  EXPECT_EQ(log.find(ip("ring-0") + " "), 0U) << log;
  EXPECT_NE(log.find("ring-0.ring.test.svc.cluster.local"), std::string::npos) << log;
  EXPECT_TRUE(log.ends_with("\nring-0\n")) << log;
}

TEST_F(PodNamesTest, ARunningPodSeesOthersComeAndGo) {
  const std::string wait =
      "until getent hosts late; do sleep 0.02; done; while getent hosts late; do sleep 0.02; done; echo gone";
  run(PodBuilder("watcher").shell(wait));
  ASSERT_TRUE(phase("watcher", "Running"));
  run(labelled(PodBuilder("late-0").shell("exec sleep 100"), "late"));
  api_.put("services", service("late", false));
  ASSERT_TRUE(phase("late-0", "Running"));
  ASSERT_TRUE(log_shows("watcher", ip("late-0")));
  api_.remove_service("test", "late");
  ASSERT_TRUE(log_shows("watcher", "gone"));
}

TEST_F(PodNamesTest, NothingIsSeenOutsideAndNothingCanBeWrittenInside) {
  const std::string before = content_of("/etc/hosts");
  run(PodBuilder("writer").shell("cat /etc/hosts; echo 127.6.6.6 evil >> /etc/hosts"));
  ASSERT_TRUE(phase("writer", "Failed"));
  EXPECT_EQ(read(query("writer")).find(before), 0U) << "the machine's own names stay";
  EXPECT_EQ(content_of("/etc/hosts"), before);
}

TEST(PodNames, SaysWhatIsMissingWhereAContainerCannotHaveThem) {
  const TemporaryFolder folder;
  const Status tried =
      ContainerProcess::try_binds({.init = std::filesystem::path(MUSTER_BINARIES) / "muster-init",
                                   .command = {},
                                   .environment = {},
                                   .directory = "/",
                                   .hostname = "try",
                                   .binds = {{.from = folder.path() / "absent", .at = "/etc/hosts"}}});
  ASSERT_FALSE(tried);
  EXPECT_NE(tried.error().message.find("a container cannot have"), std::string::npos)
      << tried.error().message;
}

}  // namespace
}  // namespace muster::local
