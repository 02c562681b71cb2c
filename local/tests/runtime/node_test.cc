// local/tests/runtime/node_test.cc: pods as real processes: phases, exit codes, logs, volumes, kills
#include "local/runtime/node.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>
#include <sstream>

#include "local/tests/runtime/node_fixture.h"

namespace muster::local {
namespace {

// As where another program listens on a port of all addresses: muster ended by an exception.
TEST(Node, ThatCannotHaveAnAddressForPodsSaysSo) {
  TemporaryFolder folder;
  FakeNodeApi api;
  LogStore logs(folder.path() / "logs");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit scarce = before;
  scarce.rlim_cur = 0;
  for (int free = 0; free < 2; ++scarce.rlim_cur)  // for the reactor's two; there is none for an address
    if (::fcntl(static_cast<int>(scarce.rlim_cur), F_GETFD) < 0) ++free;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &scarce), 0);
  const auto node = Node::start(api, logs,
                                {.binaries = MUSTER_BINARIES,
                                 .run_folder = folder.path() / "run",
                                 .volumes_folder = folder.path() / "volumes",
                                 .cpu_milli = 2000,
                                 .memory_milli = 1000});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(node);
  EXPECT_NE(node.error().message.find("loopback addresses"), std::string::npos) << node.error().message;
}

TEST_F(NodeTest, RunsAPodToSuccessAndKeepsItsLog) {
  run(PodBuilder("hello").shell("echo hello; echo world >&2"));
  ASSERT_TRUE(phase("hello", "Succeeded"));
  EXPECT_EQ(status("hello")["state"]["terminated"]["reason"], "Completed");
  EXPECT_EQ(read(query("hello")), "hello\nworld\n");
  std::vector<std::string> reasons;
  for (const NodeEvent& event : api_.events()) reasons.push_back(event.reason);
  EXPECT_EQ(reasons, (std::vector<std::string>{"Pulled", "Created", "Started"}));
}

TEST_F(NodeTest, ReportsTheExitCodeAndTheLastWords) {
  run(PodBuilder("fails").shell("printf 'no data' > /dev/termination-log; exit 65"));
  ASSERT_TRUE(phase("fails", "Failed"));
  const Json ended = status("fails")["state"]["terminated"];
  EXPECT_EQ(ended["exitCode"], 65);
  EXPECT_EQ(ended["reason"], "Error");
  EXPECT_EQ(ended["message"], "no data");
}

TEST_F(NodeTest, FallsBackToTheLogForTheLastWords) {
  run(PodBuilder("message")
          .shell("echo last words; exit 5")
          .on_main("terminationMessagePolicy", "FallbackToLogsOnError"));
  ASSERT_TRUE(phase("message", "Failed"));
  EXPECT_EQ(status("message")["state"]["terminated"]["message"], "last words\n");
}

TEST_F(NodeTest, NamesAProgramThatIsMissing) {
  run(PodBuilder("nocommand")
          .container({{"name", "main"}, {"image", "x"}, {"command", {"/no/such/command"}}}));
  ASSERT_TRUE(phase("nocommand", "Failed"));
  const Json ended = status("nocommand")["state"]["terminated"];
  EXPECT_EQ(ended["reason"], "StartError");
  EXPECT_EQ(ended["exitCode"], 128);
  const std::string message = ended["message"];
  EXPECT_NE(message.find("container \"main\": exec: \"/no/such/command\": no such file or directory"),
            std::string::npos)
      << message;
  EXPECT_EQ(read(query("nocommand")), "");
}

TEST_F(NodeTest, NamesTheRemedyForAnImageThatIsNotHere) {
  run(PodBuilder("image").container({{"name", "main"}, {"image", "nginx:1"}}));
  ASSERT_TRUE(phase("image", "Failed"));
  const std::string message = status("image")["state"]["terminated"]["message"];
  EXPECT_NE(message.find("give the container a command"), std::string::npos) << message;
}

TEST_F(NodeTest, SaysErrImageNeverPullAndWaits) {
  run(PodBuilder("never").shell("true").on_main("imagePullPolicy", "Never"));
  ASSERT_TRUE(api_.until("test", "never", [](const Json& pod) {
    const Json& statuses = member(pod, "status", "containerStatuses");
    return statuses.is_array() &&
           text(member(statuses[0], "state", "waiting", "reason")) == "ErrImageNeverPull";
  }));
  EXPECT_EQ(api_.object("pods", "test", "never")["status"]["phase"], "Pending");
}

TEST_F(NodeTest, WaitsForAConfigMapAndThenRuns) {
  run(PodBuilder("missing")
          .shell("echo got $A")
          .on_main("env", {{{"name", "A"},
                            {"valueFrom", {{"configMapKeyRef", {{"name", "later"}, {"key", "a"}}}}}}}));
  ASSERT_TRUE(api_.until("test", "missing", [](const Json& pod) {
    const Json& statuses = member(pod, "status", "containerStatuses");
    return statuses.is_array() &&
           text(member(statuses[0], "state", "waiting", "message")) == "configmap \"later\" not found";
  }));
  api_.put("configmaps", {{"metadata", {{"name", "later"}, {"namespace", "test"}}}, {"data", {{"a", "it"}}}});
  ASSERT_TRUE(phase("missing", "Succeeded"));
  EXPECT_EQ(read(query("missing")), "got it\n");
}

TEST_F(NodeTest, WaitsForASecretAndTakesItsFilesAwayWithThePod) {
  const Json secret{
      {"secretName", "later"}, {"defaultMode", 0440}, {"items", {{{"key", "0.key"}, {"path", "tls.key"}}}}};
  run(PodBuilder("trusted")
          .shell("cat $CREDENTIALS/tls.key; printf '\\n%s\\n' $CREDENTIALS/tls.key; exec sleep 100")
          .set("volumes", {{{"name", "credentials"}, {"secret", secret}}})
          .on_main("env", {{{"name", "CREDENTIALS"}, {"value", "/var/run/muster"}}})
          .on_main("volumeMounts",
                   {{{"name", "credentials"}, {"mountPath", "/var/run/muster"}, {"readOnly", true}}}));
  ASSERT_TRUE(api_.until("test", "trusted", [](const Json& pod) {
    const Json& statuses = member(pod, "status", "containerStatuses");
    return statuses.is_array() &&
           text(member(statuses[0], "state", "waiting", "message")).ends_with("secret \"later\" not found");
  }));
  EXPECT_EQ(api_.object("pods", "test", "trusted")["status"]["phase"], "Pending");
  api_.put("secrets",
           {{"metadata", {{"name", "later"}, {"namespace", "test"}}}, {"data", {{"0.key", "YWJj"}}}});
  ASSERT_TRUE(phase("trusted", "Running"));
  ASSERT_TRUE(log_shows("trusted", "/tls.key"));
  const std::string log = read(query("trusted"));
  EXPECT_EQ(log.substr(0, 4), "abc\n");
  const fs::path file = log.substr(4, log.size() - 5);
  EXPECT_TRUE(fs::exists(file)) << file;
  api_.begin_deletion("test", "trusted", 1);
  ASSERT_TRUE(gone("trusted"));
  ASSERT_TRUE(node_->stop(milliseconds(0), deadline_after(seconds(5))));
  EXPECT_FALSE(fs::exists(file));
}

TEST_F(NodeTest, GivesEachPodItsOwnAddress) {
  const Json ip{{{"name", "IP"}, {"valueFrom", {{"fieldRef", {{"fieldPath", "status.podIP"}}}}}}};
  run(PodBuilder("one").shell("echo $IP").on_main("env", ip));
  run(PodBuilder("two").shell("echo $IP").on_main("env", ip));
  ASSERT_TRUE(phase("one", "Succeeded"));
  ASSERT_TRUE(phase("two", "Succeeded"));
  EXPECT_NE(read(query("one")), read(query("two")));
  EXPECT_EQ(read(query("one")).substr(0, 4), "127.");
  EXPECT_EQ(read(query("one")),
            api_.object("pods", "test", "one")["status"]["podIP"].get<std::string>() + "\n");
}

TEST_F(NodeTest, MapsVolumesAndRewritesPaths) {
  api_.put("persistentvolumeclaims", {{"metadata", {{"name", "claim"}, {"namespace", "test"}, {"uid", "c"}}},
                                      {"spec", Json::object()}});
  const Json mounts{{{"name", "scratch"}, {"mountPath", "/scratch"}},
                    {{"name", "kept"}, {"mountPath", "/out"}}};
  const Json volumes{{{"name", "scratch"}, {"emptyDir", Json::object()}},
                     {{"name", "kept"}, {"persistentVolumeClaim", {{"claimName", "claim"}}}}};
  run(PodBuilder("volumes")
          .shell("echo data > /scratch/a && cp /scratch/a /out/b && echo $MUSTER_VOLUME_MAP")
          .set("volumes", volumes)
          .on_main("volumeMounts", mounts));
  ASSERT_TRUE(phase("volumes", "Succeeded")) << read(query("volumes"));
  std::ifstream kept(folder_.path() / "volumes" / "test" / "claim" / "b");
  std::stringstream content;
  content << kept.rdbuf();
  EXPECT_EQ(content.str(), "data\n");
  EXPECT_EQ(api_.object("persistentvolumeclaims", "test", "claim")["status"]["phase"], "Bound");
  const auto map = parse_volume_map(read(query("volumes")));
  ASSERT_TRUE(map) << map.error().message;
  EXPECT_EQ(map->at("/out"), folder_.path() / "volumes/test/claim");
  api_.begin_deletion("test", "volumes", 1);
  ASSERT_TRUE(gone("volumes"));
  EXPECT_TRUE(fs::exists(folder_.path() / "volumes/test/claim/b"));
  ASSERT_TRUE(node_->stop(milliseconds(0), deadline_after(seconds(5))));
  EXPECT_TRUE(fs::is_empty(folder_.path() / "run" / "pods"));
}

// Shells split at spaces, PATH at colons, URLs at "?": what a container gets to see has none of them.
TEST_F(NodeTest, ServesAFolderOfAnyName) {
  const fs::path odd = folder_.path() / "2024-05-01T12:30:00, a=b \"$x\" ?";
  fs::create_directories(odd / "sub folder");
  const Json mounts{{{"name", "host"}, {"mountPath", "/data"}},
                    {{"name", "host"}, {"mountPath", "/sub"}, {"subPath", "sub folder"}}};
  run(PodBuilder("odd")
          .shell("echo '#!/bin/sh\necho ran' > /data/tool; chmod +x /data/tool; PATH=/bin:/usr/bin:/data "
                 "tool > /sub/a; "
                 "printf '%s' \"$MUSTER_VOLUME_MAP\"")
          .set("volumes", {{{"name", "host"}, {"hostPath", {{"path", odd.string()}}}}})
          .on_main("volumeMounts", mounts));
  ASSERT_TRUE(phase("odd", "Succeeded")) << read(query("odd"));
  std::ifstream made(odd / "sub folder/a");
  std::string line;
  std::getline(made, line);
  EXPECT_EQ(line, "ran");
  const auto map = parse_volume_map(read(query("odd")));
  ASSERT_TRUE(map) << map.error().message;
  EXPECT_TRUE(fs::equivalent(map->at("/sub"), odd / "sub folder"));
}

TEST_F(NodeTest, EndsAPodWithSigtermThenRemovesIt) {
  run(PodBuilder("polite").shell(
      "trap 'echo got TERM; exit 0' TERM; echo up; while true; do sleep 0.05; done"));
  ASSERT_TRUE(phase("polite", "Running"));
  ASSERT_TRUE(log_shows("polite", "up"));
  EXPECT_EQ(log_until_deleted("polite"), "up\ngot TERM\n");
}

TEST_F(NodeTest, KillsAPodThatDoesNotListen) {
  run(PodBuilder("deaf").shell("trap 'echo deaf' TERM; echo up; while true; do sleep 0.05; done"));
  ASSERT_TRUE(phase("deaf", "Running"));
  ASSERT_TRUE(log_shows("deaf", "up"));
  const Instant before = std::chrono::steady_clock::now();
  api_.begin_deletion("test", "deaf", 1);
  ASSERT_TRUE(gone("deaf"));
  EXPECT_GE(std::chrono::steady_clock::now() - before, milliseconds(990));
}

TEST_F(NodeTest, ShowsAKilledProcessAs137) {
  run(PodBuilder("killed").shell("echo $$$$; exec sleep 100"));
  ASSERT_TRUE(phase("killed", "Running"));
  ASSERT_TRUE(log_shows("killed", "\n"));
  ASSERT_EQ(::kill(std::stoi(read(query("killed"))), SIGKILL), 0);
  ASSERT_TRUE(phase("killed", "Failed"));
  EXPECT_EQ(status("killed")["state"]["terminated"]["exitCode"], 137);
}

TEST_F(NodeTest, EndsWhatADoubleForkLeftBehind) {
  run(PodBuilder("daemon").shell("(setsid sh -c 'echo $$$$; exec sleep 100' &) ; sleep 0.2; exit 0"));
  ASSERT_TRUE(phase("daemon", "Succeeded"));
  const std::string log = read(query("daemon"));
  ASSERT_FALSE(log.empty());
  EXPECT_EQ(::kill(std::stoi(log), 0), -1) << "the daemon of the pod still runs";
}

TEST_F(NodeTest, EndsAForcedPodAtOnce) {
  run(PodBuilder("forced").shell("echo $$$$; trap '' TERM; while true; do sleep 0.05; done"));
  ASSERT_TRUE(phase("forced", "Running"));
  ASSERT_TRUE(log_shows("forced", "\n"));
  const int pid = std::stoi(read(query("forced")));
  api_.remove_at_once("test", "forced");
  ASSERT_TRUE(node_->stop(milliseconds(0), deadline_after(seconds(5))));
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST_F(NodeTest, RestartsAContainerThatItsLivenessProbeGivesUp) {
  const Json probe{{"exec", {{"command", {"test", "-e", "/scratch/alive"}}}},
                   {"periodSeconds", 1},
                   {"failureThreshold", 1}};
  run(PodBuilder("probed")
          .shell("echo run; exec sleep 100")
          .restart("Always")
          .set("volumes", {{{"name", "scratch"}, {"emptyDir", Json::object()}}})
          .on_main("volumeMounts", {{{"name", "scratch"}, {"mountPath", "/scratch"}}})
          .on_main("livenessProbe", probe));
  ASSERT_TRUE(api_.until("test", "probed", [](const Json& pod) {
    const Json& statuses = member(pod, "status", "containerStatuses");
    return statuses.is_array() && integer(member(statuses[0], "restartCount")) >= 1;
  }));
}

TEST_F(NodeTest, IsReadyWhenItsReadinessProbeSaysSo) {
  const Json probe{{"exec", {{"command", {"test", "-e", "/scratch/ready"}}}}, {"periodSeconds", 1}};
  run(PodBuilder("ready")
          .shell("touch /scratch/ready; exec sleep 100")
          .set("volumes", {{{"name", "scratch"}, {"emptyDir", Json::object()}}})
          .on_main("volumeMounts", {{{"name", "scratch"}, {"mountPath", "/scratch"}}})
          .on_main("readinessProbe", probe));
  ASSERT_TRUE(api_.until("test", "ready", [](const Json& pod) {
    const Json& statuses = member(pod, "status", "containerStatuses");
    return statuses.is_array() && boolean(member(statuses[0], "ready"));
  }));
}

TEST_F(NodeTest, ADeadlineThatFindsNothingRunningIsNoFailure) {
  const Status stopped = node_->stop(milliseconds(0), deadline_after(milliseconds(0)));
  EXPECT_TRUE(stopped) << stopped.error().message;
}

TEST_F(NodeTest, StopsAllPodsWithinItsDeadline) {
  for (int i = 0; i < 4; ++i) {
    run(PodBuilder("p" + std::to_string(i)).shell("trap '' TERM; while true; do sleep 0.05; done"));
  }
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(phase("p" + std::to_string(i), "Running"));
  const Instant before = std::chrono::steady_clock::now();
  EXPECT_TRUE(node_->stop(milliseconds(300), deadline_after(seconds(5))));
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(4));
}

}  // namespace
}  // namespace muster::local
