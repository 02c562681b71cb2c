// kube/run_command.cc: spawn, read, wait, with a deadline on each
#include "kube/run_command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>

#include "common/base/clock.h"

extern char** environ;  // NOLINT: POSIX's name

namespace muster::kube {
namespace {

std::vector<std::string> merged_environment(const Command& command) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    bool replaced = false;
    for (const auto& [key, value] : command.environment) replaced = replaced || key == name;
    if (!replaced) all.push_back(text);
  }
  for (const auto& [key, value] : command.environment) all.push_back(fmt::format("{}={}", key, value));
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

Result<pid_t> spawn(const Command& command, int out) {
  std::vector<std::string> arguments{command.program};
  arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
  std::vector<std::string> environment = merged_environment(command);
  posix_spawn_file_actions_t actions{};
  posix_spawn_file_actions_init(&actions);
  if (!command.keep_stdin) posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawnattr_t attributes{};
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);  // ours may block SIGTERM
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, command.program.c_str(), &actions, &attributes,
                                 pointers(arguments).data(), pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return not_found(fmt::format("cannot run {}: {}", command.program, std::strerror(error)));
  return pid;
}

// Reads until the end of file. Errors: past the deadline or the limit.
Result<std::string> read_all(int in, const Command& command, Deadline deadline) {
  std::string output;
  std::array<char, 4096> buffer{};
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd waiting{.fd = in, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || poll(&waiting, 1, static_cast<int>(left.count())) == 0) {
      return deadline_exceeded(fmt::format("did not end within {} s", command.timeout.count() / 1000));
    }
    const ssize_t n = read(in, buffer.data(), buffer.size());
    if (n == 0) return output;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return internal_error(fmt::format("reading its output failed: {}", std::strerror(errno)));
    output.append(buffer.data(), static_cast<std::size_t>(n));
    if (output.size() > command.output_bytes_max) return resource_exhausted("printed more than is sensible");
  }
}

}  // namespace

Result<std::string> run_command(const Command& command) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    return internal_error(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  }
  const auto pid = spawn(command, ends[1]);
  close(ends[1]);
  if (!pid) {
    close(ends[0]);
    return pid.error();
  }
  auto output = read_all(ends[0], command, deadline_after(command.timeout));
  close(ends[0]);
  if (!output) kill(*pid, SIGKILL);
  int status = 0;
  while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!output) return output;
  if (WIFSIGNALED(status)) return aborted(fmt::format("was ended by signal {}", WTERMSIG(status)));
  if (WEXITSTATUS(status) == 127 && output->empty()) {
    return not_found(fmt::format("{} is not an executable program", command.program));
  }
  if (WEXITSTATUS(status) != 0) return aborted(fmt::format("exit code {}", WEXITSTATUS(status)));
  return output;
}

}  // namespace muster::kube
