// local/runtime/init_main.cc: muster-init, the first process of every container: nothing of it outlives the
// node
//
// It is the subreaper of all that the container starts, so also a process that forked twice comes back to it;
// when the command ends, or the node does (its socket closes, even by kill -9), everything left is killed.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "local/runtime/init_protocol.h"

namespace {

using muster::local::InitReport;
using muster::local::StartStep;

constexpr int kUsageError = 64;
constexpr int kKillPauseMs = 2;  // between rounds of killing: time for the killed to end
// They are for the command, and reach it through the socket; this process stays to clean up.
constexpr int kIgnored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGTTOU, SIGTTIN};

void report(int control, InitReport message) {
  // The node may be gone: then there is nobody to tell.
  [[maybe_unused]] const ssize_t sent = send(control, &message, sizeof message, MSG_NOSIGNAL);
}

struct StartError {
  int code = 0;
  int step = 0;
};

bool write_text(const char* path, const char* text) {
  const int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const auto size = static_cast<ssize_t>(std::strlen(text));
  const bool whole = write(file, text, static_cast<std::size_t>(size)) == size;
  close(file);
  return whole;
}

// Only root may have other namespaces as such; anybody else gets them inside a user namespace, in which the
// own user and group are the only ones there are.
bool leave_namespaces() {
  constexpr int kFlags = CLONE_NEWNS | CLONE_NEWUTS;
  if (unshare(kFlags) == 0) return true;
  char users[64];
  char groups[64];
  std::snprintf(users, sizeof users, "%u %u 1", geteuid(), geteuid());
  std::snprintf(groups, sizeof groups, "%u %u 1", getegid(), getegid());
  return unshare(CLONE_NEWUSER | kFlags) == 0 && write_text("/proc/self/setgroups", "deny") &&
         write_text("/proc/self/uid_map", users) && write_text("/proc/self/gid_map", groups);
}

// Read-only, with whatever else holds for the mount that `from` lies on: a user namespace may not drop that.
bool bind_file(const char* from, const char* at) {
  if (mount(from, at, nullptr, MS_BIND, nullptr) != 0) return false;
  struct statvfs info {};
  if (statvfs(at, &info) != 0) return false;
  unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY;
  if ((info.f_flag & ST_NOSUID) != 0) flags |= MS_NOSUID;
  if ((info.f_flag & ST_NODEV) != 0) flags |= MS_NODEV;
  if ((info.f_flag & ST_NOEXEC) != 0) flags |= MS_NOEXEC;
  if ((info.f_flag & ST_NOATIME) != 0) flags |= MS_NOATIME;
  if ((info.f_flag & ST_NODIRATIME) != 0) flags |= MS_NODIRATIME;
  if ((info.f_flag & ST_RELATIME) != 0) flags |= MS_RELATIME;
  return mount(nullptr, at, nullptr, flags, nullptr) == 0;
}

// `binds`: pairs of paths. Nothing of this is seen outside: mounts of the machine still come in, none goes
// out.
StartError enter_namespaces(const char* hostname, char** binds, int pairs) {
  if (!leave_namespaces() || mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0 ||
      sethostname(hostname, std::strlen(hostname)) != 0) {
    return {.code = errno, .step = muster::local::kStepNamespace};
  }
  for (int i = 0; i < pairs; ++i) {
    if (!bind_file(binds[2 * i], binds[2 * i + 1])) return {.code = errno, .step = muster::local::kStepBind};
  }
  return {};
}

[[noreturn]] void become_command(const char* directory, char** command, int error_pipe) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // should muster-init itself be killed
  setpgid(0, 0);
  for (const int ignored : kIgnored) std::signal(ignored, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  StartError error{.code = 0, .step = muster::local::kStepDirectory};
  if (chdir(directory) == 0) {
    error.step = muster::local::kStepExec;
    execvp(command[0], command);
  }
  error.code = errno;
  [[maybe_unused]] const ssize_t written = write(error_pipe, &error, sizeof error);
  _exit(127);
}

// The command's pid, or 0 after a failure that was reported.
pid_t start(int control, const char* directory, char** command) {
  int error_pipe[2];
  if (pipe2(error_pipe, O_CLOEXEC) != 0) {
    report(control, {InitReport::kStartFailed, errno, muster::local::kStepFork});
    return 0;
  }
  const pid_t pid = fork();
  if (pid == 0) become_command(directory, command, error_pipe[1]);
  const int fork_error = errno;
  close(error_pipe[1]);
  if (pid < 0) {
    report(control, {InitReport::kStartFailed, fork_error, muster::local::kStepFork});
    return 0;
  }
  StartError error;
  ssize_t got = 0;
  do {
    got = read(error_pipe[0], &error, sizeof error);  // ends at exec: the pipe is close-on-exec
  } while (got < 0 && errno == EINTR);
  close(error_pipe[0]);
  if (got == static_cast<ssize_t>(sizeof error)) {
    waitpid(pid, nullptr, 0);
    report(control, {InitReport::kStartFailed, error.code, error.step});
    return 0;
  }
  report(control, {InitReport::kStarted, pid, 0});
  return pid;
}

// Kills the children that this process has now; they include every orphan of the container. False if the
// kernel does not list them.
bool kill_children() {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/children", static_cast<int>(getpid()));
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char text[4096];
  long pid = 0;
  ssize_t got = 0;
  while ((got = read(file, text, sizeof text)) > 0) {
    for (ssize_t i = 0; i < got; ++i) {
      if (text[i] >= '0' && text[i] <= '9') {
        pid = pid * 10 + (text[i] - '0');
      } else {
        if (pid > 1) kill(static_cast<pid_t>(pid), SIGKILL);
        pid = 0;
      }
    }
  }
  close(file);
  return true;
}

void end_everything(pid_t main_pid) {
  while (true) {
    if (!kill_children() && main_pid > 0) kill(-main_pid, SIGKILL);
    pid_t reaped = 0;
    while ((reaped = waitpid(-1, nullptr, WNOHANG)) > 0) {
    }
    if (reaped < 0 && errno == ECHILD) return;
    poll(nullptr, 0, kKillPauseMs);
  }
}

// Reaps until the command has ended; true then.
bool reap(int control, pid_t main_pid) {
  int status = 0;
  pid_t pid = 0;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid == main_pid) {
      report(control, {InitReport::kExited, status, 0});
      return true;
    }
  }
  return false;
}

void serve(int control, int signals, pid_t main_pid) {
  pollfd waiting[2] = {{control, POLLIN, 0}, {signals, POLLIN, 0}};
  while (true) {
    if (poll(waiting, 2, -1) < 0) continue;
    if (waiting[1].revents != 0) {
      signalfd_siginfo info;
      while (read(signals, &info, sizeof info) > 0) {
      }
      if (reap(control, main_pid)) return;
    }
    if (waiting[0].revents != 0) {
      unsigned char signal_number = 0;
      const ssize_t got = recv(control, &signal_number, 1, MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return;
      if (got == 1) kill(main_pid, signal_number);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int binds = argc < muster::local::kInitFixedArguments ? -1 : std::atoi(argv[4]);
  if (binds < 0 || argc < muster::local::kInitFixedArguments + 2 * binds) {
    std::fputs("muster-init is started by muster for the containers of its pods, not by hand\n", stderr);
    return kUsageError;
  }
  const int control = std::atoi(argv[1]);
  fcntl(control, F_SETFD, FD_CLOEXEC);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  prctl(PR_SET_NAME, "muster-init");
  for (const int ignored : kIgnored) std::signal(ignored, SIG_IGN);
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  sigprocmask(SIG_BLOCK, &children, nullptr);
  const int signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  if (*argv[3] != '\0') {
    const StartError error = enter_namespaces(argv[3], argv + muster::local::kInitFixedArguments, binds);
    if (error.step != 0) {
      report(control, {InitReport::kStartFailed, error.code, error.step});
      return 0;
    }
  }
  char** command = argv + muster::local::kInitFixedArguments + 2 * binds;
  if (*command == nullptr) {
    report(control, {InitReport::kStarted, getpid(), 0});
    return 0;
  }
  const pid_t main_pid = start(control, argv[2], command);
  if (main_pid > 0) serve(control, signals, main_pid);
  end_everything(main_pid);
  return 0;
}
