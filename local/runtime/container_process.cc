// local/runtime/container_process.cc: spawns muster-init, reads its reports and the container's output
#include "local/runtime/container_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "common/platform/file_descriptor.h"

namespace muster::local {
namespace {

constexpr std::size_t kOutputBytes = 64 * 1024;  // read at a time, so that no container holds the others up
constexpr int kControlInChild = 3;
constexpr int kReapMs = 2'000;
constexpr int kLastReads = 64;  // a pipe holds far less

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (std::string& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// posix_spawn rather than fork: the caller may be large and have many threads.
int spawn(const ContainerProcess::Spec& spec, int control, int output, pid_t& pid) {
  std::vector<std::string> arguments{"muster-init", std::to_string(kControlInChild), spec.directory.string(),
                                     spec.hostname, std::to_string(spec.binds.size())};
  for (const Bind& bind : spec.binds) {
    arguments.push_back(bind.from.string());
    arguments.push_back(bind.at.string());
  }
  arguments.insert(arguments.end(), spec.command.begin(), spec.command.end());
  std::vector<std::string> environment = spec.environment;

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, control, kControlInChild);
  posix_spawn_file_actions_addclosefrom_np(&actions, kControlInChild + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  // A session of its own: Ctrl-C at the terminal is for muster, which then ends its pods with grace.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int error = posix_spawn(&pid, spec.init.c_str(), &actions, &attributes, pointers(arguments).data(),
                                pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

// Collects muster-init, which is ending. A process stuck in the kernel may hold it up; that must not stop the
// node.
void reap(pid_t pid) {
  const FileDescriptor fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (fd.valid()) {
    pollfd waiting{.fd = fd.get(), .events = POLLIN, .revents = 0};
    poll(&waiting, 1, kReapMs);
  }
  waitpid(pid, nullptr, WNOHANG);
}

}  // namespace

Result<std::unique_ptr<ContainerProcess>> ContainerProcess::start(Reactor& reactor, const Spec& spec,
                                                                  Handlers handlers) {
  std::array<int, 2> sockets{};
  std::array<int, 2> pipes{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets.data()) != 0) {
    return unavailable(fmt::format("no socket for a container: {}; raise `ulimit -n`", std::strerror(errno)));
  }
  FileDescriptor control{sockets[0]};
  const FileDescriptor control_child{sockets[1]};
  if (pipe2(pipes.data(), O_CLOEXEC) != 0) {
    return unavailable(fmt::format("no pipe for a container: {}; raise `ulimit -n`", std::strerror(errno)));
  }
  FileDescriptor output{pipes[0]};
  const FileDescriptor output_child{pipes[1]};
  fcntl(output.get(), F_SETFL, O_NONBLOCK);
  fcntl(control.get(), F_SETFL, O_NONBLOCK);
  pid_t pid = 0;
  if (const int error = spawn(spec, control_child.get(), output_child.get(), pid); error != 0) {
    return unavailable(fmt::format("{} cannot be started: {}", spec.init.string(), std::strerror(error)));
  }
  return std::unique_ptr<ContainerProcess>(
      new ContainerProcess(reactor, pid, std::move(control), std::move(output), std::move(handlers)));
}

Status ContainerProcess::try_binds(Spec spec) {
  spec.command.clear();
  std::array<int, 2> sockets{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets.data()) != 0)
    return unavailable(fmt::format("no socket for a container: {}; raise `ulimit -n`", std::strerror(errno)));
  const FileDescriptor control{sockets[0]};
  FileDescriptor child{sockets[1]};
  pid_t pid = 0;
  if (const int error = spawn(spec, child.get(), STDERR_FILENO, pid); error != 0)
    return unavailable(fmt::format("{} cannot be started: {}", spec.init.string(), std::strerror(error)));
  child.reset();
  InitReport report{.kind = InitReport::kStartFailed, .value = ETIMEDOUT, .detail = kStepNamespace};
  pollfd waiting{.fd = control.get(), .events = POLLIN, .revents = 0};
  if (poll(&waiting, 1, kReapMs) == 1 && recv(control.get(), &report, sizeof report, 0) <= 0)
    report.value = ECHILD;
  ::kill(pid, SIGKILL);  // it has nothing more to do
  reap(pid);
  if (report.kind == InitReport::kStarted) return {};
  if (report.detail == kStepBind) {
    return failed_precondition(
        fmt::format("a container cannot have {} of its own: {}; allow mounts in user "
                    "namespaces (AppArmor may forbid them), or run as root",
                    spec.binds.front().at.string(), std::strerror(report.value)));
  }
  return failed_precondition(
      fmt::format("a container cannot have a mount namespace of its own: {}; allow user namespaces "
                  "(user.max_user_namespaces, kernel.unprivileged_userns_clone), or run as root",
                  std::strerror(report.value)));
}

ContainerProcess::ContainerProcess(Reactor& reactor, pid_t init, FileDescriptor control,
                                   FileDescriptor output, Handlers handlers)
    : reactor_(reactor),
      init_(init),
      control_(std::move(control)),
      output_(std::move(output)),
      handlers_(std::move(handlers)) {
  reactor_.watch(control_.get(), [this] { read_control(); });
  reactor_.watch(output_.get(), [this] { (void)read_output(); });
}

ContainerProcess::~ContainerProcess() {
  if (output_.valid()) reactor_.forget(output_.get());
  if (!control_.valid()) return;
  reactor_.forget(control_.get());
  control_.reset();  // muster-init kills everything and ends
  reap(init_);
}

void ContainerProcess::signal(int number) {
  if (!control_.valid()) return;
  const auto byte = static_cast<unsigned char>(number);
  [[maybe_unused]] const ssize_t sent = send(control_.get(), &byte, 1, MSG_NOSIGNAL);
}

void ContainerProcess::kill() { signal(SIGKILL); }

void ContainerProcess::read_control() {
  InitReport report;
  const ssize_t got = recv(control_.get(), &report, sizeof report, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got != static_cast<ssize_t>(sizeof report)) return finish();
  if (report.kind == InitReport::kStarted) {
    ended_.started = true;
    // Without a report that follows, muster-init itself was killed, and the command with it.
    ended_.status = SIGKILL;
    handlers_.started(report.value);
  } else if (report.kind == InitReport::kStartFailed) {
    ended_.error = report.value;
    ended_.failed_step = report.detail;
  } else if (report.kind == InitReport::kExited) {
    ended_.status = report.value;
  }
}

bool ContainerProcess::read_output() {
  if (!output_.valid()) return false;
  static thread_local std::array<char, kOutputBytes> buffer;
  const ssize_t got = read(output_.get(), buffer.data(), buffer.size());
  if (got > 0) {
    handlers_.output({buffer.data(), static_cast<std::size_t>(got)});
    return true;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  reactor_.forget(output_.get());
  output_.reset();
  return false;
}

void ContainerProcess::finish() {
  reactor_.forget(control_.get());
  control_.reset();
  reap(init_);
  // All writers are gone: what is in the pipe is the end of it.
  for (int reads = 0; reads < kLastReads && read_output(); ++reads) {
  }
  if (!ended_.started && ended_.error == 0) {
    ended_.error = ECHILD;  // muster-init died before it could start the command
    ended_.failed_step = kStepFork;
  }
  const auto handler = std::move(handlers_.ended);
  handler(ended_);
}

}  // namespace muster::local
