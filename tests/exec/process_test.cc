// tests/exec/process_test.cc: the real muster-exec with commands that live, die, leave children and hang on
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "proto/control.grpc.pb.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_pki.h"

namespace muster::exec {
namespace {

using control::v1::AgentStatus;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

const PeerName kPod{.role = "worker", .index = 2, .uid = "u-1"};
constexpr auto kPatience = 60s;

// An address of loopback that no other process of this machine has: as many as there are process numbers.
std::string own_address() {
  const int pid = getpid();
  return "127." + std::to_string(128 + ((pid >> 16) & 63)) + "." + std::to_string((pid >> 8) & 255) + "." +
         std::to_string(1 + (pid & 127));
}

class Process : public ::testing::Test {
 protected:
  ~Process() override {
    if (pid_ > 0) kill(pid_, SIGTERM);  // then nothing of the command is left, either
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
  }

  // `script`: of sh.
  void start(const std::string& script) { start(std::vector<std::string>{"sh", "-c", script}); }
  void start(std::vector<std::string> command) {
    shared_test_pki().write(folder_.path() / "keys", kPod);
    std::vector<std::string> words{MUSTER_EXEC_PROGRAM, "--keys", (folder_.path() / "keys").string(), "--"};
    words.insert(words.end(), command.begin(), command.end());
    std::vector<std::string> variables{"PATH=/usr/bin:/bin",
                                       "OUT=" + folder_.path().string(),
                                       "RANK=old",
                                       "MUSTER_POD_IP=" + own_address(),
                                       "MUSTER_POD_UID=p-1",
                                       "MUSTER_JOB_UID=u-1",
                                       "MUSTER_ROLE=worker",
                                       "MUSTER_INDEX=2",
                                       "MUSTER_TERMINATION_LOG=" + (folder_.path() / "words").string()};
    const auto pointers = [](std::vector<std::string>& strings) {
      std::vector<char*> out;
      for (std::string& text : strings) out.push_back(text.data());
      out.push_back(nullptr);
      return out;
    };
    std::ofstream(folder_.path() / "words");
    ASSERT_EQ(posix_spawn(&pid_, MUSTER_EXEC_PROGRAM, nullptr, nullptr, pointers(words).data(),
                          pointers(variables).data()),
              0);
    stub_ = control::v1::Agent::NewStub(shared_test_pki().channel(own_address() + ":8470", kPod));
  }

  void configure(std::int64_t membership, bool start, const std::string& rank = "2") {
    control::v1::Assignment assignment;
    assignment.set_uid("u-1");
    assignment.set_pod_uid("p-1");
    assignment.set_membership(membership);
    assignment.mutable_exec()->set_start(start);
    if (start) {
      auto& variable = *assignment.mutable_exec()->add_environment();
      variable.set_name("RANK");
      variable.set_value(rank);
    }
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    context.set_wait_for_ready(true);
    control::v1::ConfigureReply reply;
    const grpc::Status done = stub_->Configure(&context, assignment, &reply);
    ASSERT_TRUE(done.ok()) << done.error_message();
  }
  void run(std::int64_t membership) {
    configure(membership, false);
    status_when([=](const AgentStatus& told) {
      return told.membership() == membership && (told.exec().ready() || told.phase() == 3);
    });
    configure(membership, true);
  }
  // The first status that is as wanted.
  AgentStatus status_when(const std::function<bool(const AgentStatus&)>& wanted) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    context.set_wait_for_ready(true);
    const auto reader = stub_->Watch(&context, control::v1::WatchRequest());
    AgentStatus told;
    while (reader->Read(&told))
      if (wanted(told)) return told;
    ADD_FAILURE() << "it has told: " << told.ShortDebugString();
    return {};
  }
  // A line that the command has written.
  std::string line_of(const std::string& name) {
    std::string line;
    for (const auto until = std::chrono::steady_clock::now() + kPatience;
         std::chrono::steady_clock::now() < until;) {
      std::ifstream file(folder_.path() / name);
      if (std::getline(file, line) && !file.eof()) return line;
      std::this_thread::sleep_for(2ms);  // there is nothing to wait at
    }
    ADD_FAILURE() << name << " has not been written";
    return {};
  }
  int exit_code() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  TemporaryFolder folder_;
  pid_t pid_ = 0;
  std::unique_ptr<control::v1::Agent::Stub> stub_;
};

bool lives(const std::string& pid) { return kill(std::stoi(pid), 0) == 0; }

TEST_F(Process, RunsTheCommandWithTheVariablesOfItsMembershipAndEndsWithIt) {
  start("echo $RANK $MUSTER_ROLE > $OUT/rank; exit 0");
  run(1);
  EXPECT_EQ(line_of("rank"), "2 worker");
  EXPECT_EQ(exit_code(), 0);
}

TEST_F(Process, StartsItAgainAndLeavesNothingOfIt) {
  // A grandchild in a session of its own: nothing but its parentage tells whose it is.
  start(R"(setsid sh -c 'trap "echo > $OUT/saved-'$RANK'; exit" TERM; echo $$ > $OUT/left-'$RANK'
                         while :; do sleep 0.01; done' &
           echo $$ > $OUT/pid-$RANK; while :; do sleep 1; done)");
  configure(1, false);
  configure(1, true, "first");
  const std::string pid = line_of("pid-first");
  const std::string left = line_of("left-first");
  configure(2, false);
  status_when([](const AgentStatus& told) { return told.membership() == 2 && told.exec().ready(); });
  EXPECT_FALSE(lives(pid));
  EXPECT_FALSE(lives(left));
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "saved-first")) << "it was asked to end, and had time";
  configure(2, true, "second");
  EXPECT_NE(line_of("pid-second"), pid);
  const std::string last = line_of("left-second");
  kill(pid_, SIGTERM);
  EXPECT_EQ(exit_code(), 128 + SIGTERM);
  EXPECT_FALSE(lives(last));
}

TEST_F(Process, KillsWhatACommandLeavesThatFails) {
  start(R"(setsid sh -c 'trap "" TERM; echo $$ > $OUT/left; while :; do sleep 1; done' &
           while [ ! -s $OUT/left ]; do sleep 0.01; done; exit 3)");
  run(1);
  const AgentStatus told = status_when([](const AgentStatus& each) { return each.exec().has_end(); });
  EXPECT_EQ(told.exec().end().exit_code(), 3);
  EXPECT_FALSE(lives(line_of("left")));
}

TEST_F(Process, TellsHowACommandEndedWithItsLastWords) {
  start("echo \"no GPU\" > $MUSTER_TERMINATION_LOG; kill -9 $$");
  run(1);
  const AgentStatus told = status_when([](const AgentStatus& each) { return each.exec().has_end(); });
  EXPECT_EQ(told.phase(), control::v1::PHASE_WAITING);
  EXPECT_EQ(told.exec().end().membership(), 1);
  EXPECT_EQ(told.exec().end().exit_code(), 137);
  EXPECT_EQ(told.exec().end().words(), "no GPU");
  run(2);
  EXPECT_EQ(status_when([](const AgentStatus& each) { return each.exec().end().membership() == 2; })
                .exec()
                .starts(),
            2);
}

TEST_F(Process, PassesSigtermOnAndHasTheCommandsExitCode) {
  start("trap 'exit 7' TERM; echo > $OUT/up; while :; do sleep 0.01; done");
  run(1);
  line_of("up");
  kill(pid_, SIGTERM);
  EXPECT_EQ(exit_code(), 7);
}

TEST_F(Process, OutlivesACommandThatEndsItsProcessGroup) {
  start("kill -9 0");
  run(1);
  const AgentStatus told = status_when([](const AgentStatus& each) { return each.exec().has_end(); });
  EXPECT_EQ(told.exec().end().exit_code(), 137);
}

TEST_F(Process, TellsOfACommandThatIsNotThere) {
  start(std::vector<std::string>{"/nowhere/train"});
  run(1);
  const AgentStatus told = status_when([](const AgentStatus& each) { return each.exec().has_end(); });
  EXPECT_EQ(told.exec().end().exit_code(), 127);
  EXPECT_THAT(told.exec().end().words(), HasSubstr("cannot execute /nowhere/train"));
}

}  // namespace
}  // namespace muster::exec
