// exec/child.cc: fork, exec, and the killing of what is left
#include "exec/child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "common/platform/file_descriptor.h"

extern char** environ;

namespace muster::exec {
namespace {

std::vector<std::string> merged(const Environment& own) {
  std::vector<std::string> all;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view variable = *each;
    const std::string_view name = variable.substr(0, variable.find('='));
    if (std::none_of(own.begin(), own.end(), [name](const auto& entry) { return entry.first == name; }))
      all.emplace_back(variable);
  }
  for (const auto& [name, value] : own) all.emplace_back(name).append("=").append(value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (std::string& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// In the child; nothing here takes memory.
[[noreturn]] void become(char** command, char** environment, int error_pipe, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // where this program is not the container's first process
  if (getppid() != parent) _exit(127);
  setsid();  // `kill 0` in it means the command's processes, as where it is the container's first one
  for (int number = 1; number < NSIG; ++number) std::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execvpe(command[0], command, environment);
  const int why = errno;
  [[maybe_unused]] const ssize_t written = write(error_pipe, &why, sizeof why);
  _exit(127);
}

// Each child that this process has now: what the command's own children leave behind comes to it when they
// end.
template <typename Use>
void each_child(const Use& use) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/children", static_cast<int>(getpid()));
  const FileDescriptor file(open(path, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return;
  char text[4096];
  long pid = 0;
  ssize_t got = 0;
  while ((got = read(file.get(), text, sizeof text)) > 0) {
    for (ssize_t i = 0; i < got; ++i) {
      if (text[i] >= '0' && text[i] <= '9') {
        pid = pid * 10 + (text[i] - '0');
      } else {
        if (pid > 1) use(static_cast<pid_t>(pid));
        pid = 0;
      }
    }
  }
}

void kill_children() {
  each_child([](pid_t pid) { kill(pid, SIGKILL); });
}

int code_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

}  // namespace

Status Child::start(const Environment& environment) {
  std::vector<std::string> variables = merged(environment);
  std::vector<char*> command = pointers(command_);
  std::vector<char*> settings = pointers(variables);
  int pipes[2];
  if (pipe2(pipes, O_CLOEXEC) != 0) return unavailable(std::string("no pipe: ") + std::strerror(errno));
  FileDescriptor read_end(pipes[0]), write_end(pipes[1]);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) become(command.data(), settings.data(), write_end.get(), parent);
  const int fork_error = errno;
  write_end.reset();
  if (pid < 0) return unavailable(std::string("cannot fork: ") + std::strerror(fork_error));
  int why = 0;
  ssize_t got = 0;
  do {
    got = read(read_end.get(), &why, sizeof why);  // ends when the command is executed
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof why)) {
    waitpid(pid, nullptr, 0);
    return Error{why == ENOENT ? Code::kNotFound : Code::kPermissionDenied,
                 "cannot execute " + command_.front() + ": " + std::strerror(why) +
                     "; correct the command of the container"};
  }
  pid_ = pid;
  exit_code_.reset();
  return {};
}

void Child::signal(int number) const {
  if (pid_ > 0) kill(pid_, number);
}

void Child::kill_all() const { kill_children(); }

std::optional<int> Child::reap(bool gently) {
  int status = 0;
  pid_t pid = 0;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    told_.erase(pid);
    if (pid != pid_) continue;
    pid_ = 0;
    exit_code_ = code_of(status);
  }
  if (!exit_code_) return std::nullopt;
  if (pid < 0 && errno == ECHILD) return std::exchange(exit_code_, std::nullopt);
  if (gently)
    each_child([this](pid_t child) {
      if (told_.insert(child).second) kill(child, SIGTERM);
    });
  else
    kill_children();
  return std::nullopt;
}

}  // namespace muster::exec
