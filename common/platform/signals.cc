// common/platform/signals.cc: the signals that ask to stop, through a signalfd, and from threads that do not
// know of the mask
#include "common/platform/signals.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

#include "common/base/check.h"

namespace muster {
namespace {

constexpr int kStopSignals[] = {SIGTERM, SIGINT, SIGHUP};
// Ignored: the write fails, too, and says why (the other end is closed; `ulimit -f`).
constexpr int kOfWrites[] = {SIGPIPE, SIGXFSZ};

// Whoever started this under nohup wants it to outlive the terminal.
bool ignored_hangup(int number) {
  struct sigaction action {};
  return number == SIGHUP && sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : kStopSignals) {
    if (!ignored_hangup(number)) sigaddset(&set, number);
  }
  return set;
}

// Libraries (OpenBLAS is one) start threads before main, with no signal blocked. The kernel hands a signal to
// such a thread rather than to the signalfd; its handler passes it on through this pipe.
std::atomic<int> relay{-1};

void pass_on(int number) {
  const int saved = errno;
  const char byte = static_cast<char>(number);
  [[maybe_unused]] const auto written = write(relay.load(), &byte, 1);
  errno = saved;
}

void add(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  MUSTER_CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

}  // namespace

SignalWaiter::SignalWaiter() : fd_(epoll_create1(EPOLL_CLOEXEC)) {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  for (const int number : kOfWrites) std::signal(number, SIG_IGN);
  signal_fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  MUSTER_CHECK(fd_ >= 0 && signal_fd_ >= 0 && pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) == 0);
  add(fd_, signal_fd_);
  add(fd_, pipe_[0]);
  relay = pipe_[1];
  struct sigaction action {};
  action.sa_handler = pass_on;
  action.sa_flags = SA_RESTART;
  for (const int number : kStopSignals) {
    if (sigismember(&set, number) == 1) sigaction(number, &action, nullptr);
  }
}

SignalWaiter::~SignalWaiter() {
  for (const int number : kStopSignals) {
    if (!ignored_hangup(number)) std::signal(number, SIG_DFL);
  }
  relay = -1;
  for (const int fd : {fd_, signal_fd_, pipe_[0], pipe_[1]}) close(fd);
}

std::optional<int> SignalWaiter::wait(std::chrono::milliseconds timeout) {
  pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
  if (poll(&waiting, 1, static_cast<int>(timeout.count())) <= 0) return std::nullopt;
  signalfd_siginfo info{};
  if (read(signal_fd_, &info, sizeof info) == sizeof info) return static_cast<int>(info.ssi_signo);
  char number = 0;
  if (read(pipe_[0], &number, 1) == 1) return number;
  return std::nullopt;
}

void reset_signals_after_fork() noexcept {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : kStopSignals) std::signal(number, SIG_DFL);
  sigprocmask(SIG_SETMASK, &set, nullptr);
  for (const int number : kOfWrites) std::signal(number, SIG_DFL);
}

}  // namespace muster
