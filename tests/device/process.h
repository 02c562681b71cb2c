#pragma once  // tests/device/process.h: the real binaries as child processes, each on its own loopback
              // address
#include <fcntl.h>
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "common/platform/signals.h"
#include "common/platform/volume_map.h"
#include "proto/control.grpc.pb.h"
#include "tests/support/pod_figures.h"
#include "tests/support/test_pki.h"

namespace muster::testing_process {

inline std::string file_text(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// One Muster pod as a process. Killed when it goes out of scope.
class Pod {
 public:
  Pod(const std::string& binary, const std::string& name, std::string ip, const std::string& uid,
      const std::filesystem::path& folder)
      : peer_{.role = name.find("-client-") == std::string::npos ? "aggregator" : "client",
              .index = std::stoi(name.substr(name.rfind('-') + 1)),
              .uid = uid},
        ip_(std::move(ip)),
        log_(folder / (name + ".log")),
        last_words_(folder / (name + ".last")) {
    const std::filesystem::path credentials = folder / (name + "-credentials");
    shared_test_pki().write(credentials, peer_);
    const std::vector<std::string> env{
        "MUSTER_POD_NAME=" + name,
        "MUSTER_POD_UID=" + name,
        "MUSTER_POD_IP=" + ip_,
        "MUSTER_JOB_UID=" + uid,
        "MUSTER_ROLE=" + peer_.role,
        "MUSTER_INDEX=" + std::to_string(peer_.index),
        "MUSTER_VOLUME_MAP=" + volume_map_text({{"/models", (folder / "models").string()},
                                                {kCredentialsFolder, credentials.string()}}),
        "MUSTER_TERMINATION_LOG=" + last_words_.string(),
        "OMP_NUM_THREADS=1"};
    std::vector<char*> envp;
    envp.reserve(env.size() + 1);
    for (const std::string& variable : env) envp.push_back(const_cast<char*>(variable.c_str()));
    for (char** variable = environ; *variable != nullptr; ++variable) envp.push_back(*variable);
    envp.push_back(nullptr);
    const std::string log = log_.string();
    char* argv[] = {const_cast<char*>(binary.c_str()), nullptr};
    pid_ = fork();
    if (pid_ == 0) {
      reset_signals_after_fork();
      const int out = open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
      dup2(out, 1);
      dup2(out, 2);
      execve(binary.c_str(), argv, envp.data());
      _exit(127);
    }
  }
  ~Pod() {
    if (!exit_) kill_now();
  }
  Pod(const Pod&) = delete;
  Pod& operator=(const Pod&) = delete;

  // Retries until the pod's Agent answers; the answer's status.
  grpc::Status configure(const control::v1::Assignment& assignment) {
    auto stub = control::v1::Agent::NewStub(channel());
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    control::v1::ConfigureReply reply;
    return stub->Configure(&context, assignment, &reply);
  }
  // Watches until `fact` holds; the status for which it did, or nothing when the stream ended first.
  std::optional<control::v1::AgentStatus> until(
      const std::function<bool(const control::v1::AgentStatus&)>& fact,
      std::chrono::seconds limit = std::chrono::seconds(60)) {
    auto stub = control::v1::Agent::NewStub(channel());
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + limit);
    auto stream = stub->Watch(&context, {});
    control::v1::AgentStatus status;
    std::optional<control::v1::AgentStatus> found;
    while (!found && stream->Read(&status)) {
      if (fact(status)) found = status;
    }
    context.TryCancel();
    static_cast<void>(stream->Finish());
    return found;
  }
  void kill_now() {
    kill(pid_, SIGKILL);
    static_cast<void>(wait_exit(std::chrono::seconds(10)));
  }
  void terminate() { kill(pid_, SIGTERM); }
  // Its exit code (128 + signal when killed), or nothing when it still runs after `limit`.
  std::optional<int> wait_exit(std::chrono::seconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!exit_ && std::chrono::steady_clock::now() < deadline) {
      int state = 0;
      if (waitpid(pid_, &state, WNOHANG) == pid_) {
        exit_ = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
      } else {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    }
    return exit_;
  }
  [[nodiscard]] std::string log() const { return file_text(log_); }
  [[nodiscard]] std::string last_words() const { return file_text(last_words_); }
  [[nodiscard]] const std::string& ip() const { return ip_; }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  [[nodiscard]] std::shared_ptr<grpc::Channel> channel() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
    return shared_test_pki().channel(ip_ + ":8470", peer_, arguments);
  }

  PeerName peer_;
  std::string ip_;
  std::filesystem::path log_;
  std::filesystem::path last_words_;
  pid_t pid_ = -1;
  std::optional<int> exit_;
};

}  // namespace muster::testing_process
