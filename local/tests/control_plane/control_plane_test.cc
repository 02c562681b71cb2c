// local/tests/control_plane/control_plane_test.cc: API, scheduler, node and operator together; kills
#include "local/control_plane.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <iterator>

#include "local/api/api_server.h"
#include "local/runtime/json_access.h"
#include "local/tests/runtime/builders.h"

namespace muster::local {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Waits for a fact that no event tells, such as the end of a process that is not our child.
bool eventually(const std::function<bool()>& fact, seconds limit = seconds(20)) {
  const Deadline deadline = deadline_after(limit);
  while (!fact()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, 10);
  }
  return true;
}

std::string content(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

int number_in(const fs::path& file) {
  std::ifstream in(file);
  int out = 0;
  in >> out;
  return out;
}

Json pod(const std::string& name, const std::string& script) {
  Json out = PodBuilder(name).shell(script);
  out["metadata"] = {{"name", name}, {"namespace", "default"}};
  out["spec"].erase("nodeName");
  return out;
}

class ControlPlaneTest : public testing::Test {
 protected:
  // Muster's own muster-init, and whatever the test adds.
  void SetUp() override {
    fs::create_directories(binaries());
    fs::create_symlink(fs::path(MUSTER_BINARIES) / "muster-init", binaries() / "muster-init");
  }
  [[nodiscard]] fs::path binaries() const { return folder_.path() / "bin"; }
  [[nodiscard]] fs::path runtime() const { return folder_.path() / "runtime"; }
  ControlPlane::Options options(bool with_operator = false) {
    return {.data_folder = folder_.path() / "data",
            .binaries = binaries(),
            .crds = {},
            .run_operator = with_operator,
            .runtime_folder = runtime()};
  }
  void script(const std::string& name, const std::string& text) {
    std::ofstream(binaries() / name) << "#!/bin/sh\n" << text;
    fs::permissions(binaries() / name, fs::perms::owner_all);
  }
  std::size_t run_folders() {
    std::size_t count = 0;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(runtime(), error)) {
      count += entry.path().filename().string().starts_with("muster-run-") ? 1 : 0;
    }
    return count;
  }
  static bool until_phase(ControlPlane& plane, const std::string& name, const std::string& phase) {
    auto changes = plane.api().client().subscribe("pods");
    const Deadline deadline = deadline_after(seconds(20));
    while (std::chrono::steady_clock::now() < deadline) {
      for (const Change& change : changes->next(milliseconds(200))) {
        const Json seen = change.object->json();
        if (change.object->name == name && text(member(seen, "status", "phase")) == phase) return true;
      }
    }
    return false;
  }

  TemporaryFolder folder_;
};

TEST_F(ControlPlaneTest, RunsAPodAndLeavesNothing) {
  auto plane = ControlPlane::start(options());
  ASSERT_TRUE(plane) << plane.error().message;
  EXPECT_EQ(fs::status((*plane)->kubeconfig_path()).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(fs::status((*plane)->run_folder()).permissions(), fs::perms::owner_all);
  const auto created = (*plane)->api().client().create("pods", "default", pod("hello", "echo hello"));
  ASSERT_TRUE(created) << created.error().message;
  EXPECT_TRUE(until_phase(**plane, "hello", "Succeeded"));
  EXPECT_TRUE((*plane)->stop(deadline_after(ControlPlane::kStopTime)));
  EXPECT_TRUE((*plane)->stop(deadline_after(ControlPlane::kStopTime))) << "twice is fine";
  EXPECT_EQ(run_folders(), 0U);
}

TEST_F(ControlPlaneTest, SaysWhyAPodDoesNotFit) {
  auto plane = ControlPlane::start(options());
  ASSERT_TRUE(plane) << plane.error().message;
  Json big = pod("big", "true");
  big["spec"]["containers"][0]["resources"] = {{"requests", {{"cpu", "4000"}}}};
  LocalClient& client = (*plane)->api().client();
  ASSERT_TRUE(client.create("pods", "default", big));
  EXPECT_TRUE(eventually([&] {
    const auto seen = client.get("pods", "default", "big");
    const Json& conditions = member(*seen, "status", "conditions");
    return conditions.is_array() && !conditions.empty() &&
           text(member(conditions[0], "reason")) == "Unschedulable" &&
           text(member(conditions[0], "message")).starts_with("0/1 nodes are available: 1 Insufficient cpu.");
  }));
}

TEST_F(ControlPlaneTest, StopsDeafPodsWithinFiveSeconds) {
  auto plane = ControlPlane::start(options());
  ASSERT_TRUE(plane) << plane.error().message;
  ASSERT_TRUE((*plane)->api().client().create("pods", "default",
                                              pod("deaf", "trap '' TERM; while :; do sleep 0.1; done")));
  ASSERT_TRUE(until_phase(**plane, "deaf", "Running"));
  const Instant before = std::chrono::steady_clock::now();
  EXPECT_TRUE((*plane)->stop(deadline_after(ControlPlane::kStopTime)));
  EXPECT_LT(std::chrono::steady_clock::now() - before, ControlPlane::kStopTime);
}

TEST_F(ControlPlaneTest, NamesAMissingOperator) {
  const auto plane = ControlPlane::start(options(true));
  ASSERT_FALSE(plane);
  EXPECT_EQ(plane.error().message, "binary " + (binaries() / "muster-operator").string() +
                                       " not found; build it with `./dev build`");
  EXPECT_EQ(run_folders(), 0U);
}

TEST_F(ControlPlaneTest, StartsTheOperatorAgainAfterAKill) {
  const fs::path pids = folder_.path() / "pids";
  script("muster-operator", "echo started with \"$@\"; echo $$ >> " + pids.string() + "; exec sleep 1000\n");
  auto plane = ControlPlane::start(options(true));
  ASSERT_TRUE(plane) << plane.error().message;
  ASSERT_TRUE(eventually([&] { return number_in(pids) > 0 && content(pids).ends_with('\n'); }));
  const std::string started = "started with --kubeconfig " + (*plane)->kubeconfig_path().string() +
                              " --metrics-address 127.0.0.1:0 --progress-address 127.";
  EXPECT_TRUE(eventually([&] { return (*plane)->operator_log_tail().starts_with(started); }))
      << (*plane)->operator_log_tail();
  EXPECT_TRUE((*plane)->api().client().get("namespaces", "", "muster-system"))
      << "where it keeps its Secrets";
  const int first = number_in(pids);
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return std::ranges::count(content(pids), '\n') == 2; }));
  EXPECT_TRUE((*plane)->stop(deadline_after(ControlPlane::kStopTime)));
  std::ifstream in(pids);
  for (int pid = 0; in >> pid;) EXPECT_EQ(::kill(pid, 0), -1) << pid;
}

TEST_F(ControlPlaneTest, AKilledRunLeavesNoProcessAndItsFolderIsCleaned) {
  const fs::path pids = folder_.path() / "pids";
  const fs::path file = folder_.path() / "pod.json";
  // A child that forked twice and left the session is ended, too.
  const std::string daemon = "(setsid sh -c 'echo $$$$ > " + pids.string() + ".daemon; exec sleep 1000' &); ";
  std::ofstream(file) << pod("p", daemon + "echo $$$$ > " + pids.string() + "; exec sleep 1000").dump();
  std::string program = MUSTER_TEST_HOST;
  std::string bin = binaries();
  std::string run = runtime();
  std::string path = file;
  char* const arguments[] = {program.data(), bin.data(), run.data(), path.data(), nullptr};
  pid_t host = 0;
  ASSERT_EQ(posix_spawn(&host, program.c_str(), nullptr, nullptr, arguments, environ), 0);
  const bool running =
      eventually([&] { return number_in(pids) > 0 && number_in(pids.string() + ".daemon") > 0; });
  ::kill(host, SIGKILL);
  waitpid(host, nullptr, 0);
  ASSERT_TRUE(running);
  EXPECT_TRUE(eventually([&] { return ::kill(number_in(pids), 0) != 0; }));
  EXPECT_TRUE(eventually([&] { return ::kill(number_in(pids.string() + ".daemon"), 0) != 0; }));
  EXPECT_EQ(run_folders(), 1U);
  auto plane = ControlPlane::start(options());
  ASSERT_TRUE(plane) << plane.error().message;
  EXPECT_EQ(run_folders(), 1U) << "the folder of the killed run is gone, that of this one is there";
}

TEST_F(ControlPlaneTest, LeavesTheFolderOfALivingRunAlone) {
  auto first = ControlPlane::start(options());
  ASSERT_TRUE(first) << first.error().message;
  auto second = ControlPlane::start(options());
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_TRUE(fs::exists((*first)->kubeconfig_path()));
  EXPECT_EQ(run_folders(), 2U);
}

}  // namespace
}  // namespace muster::local
