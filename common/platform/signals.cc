// common/platform/signals.cc: SIGTERM and SIGINT through a signalfd
#include "common/platform/signals.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

#include "common/base/check.h"

namespace muster {
namespace {

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

SignalWaiter::SignalWaiter() : fd_(-1) {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  MUSTER_CHECK(fd_ >= 0);
}

SignalWaiter::~SignalWaiter() { close(fd_); }

std::optional<int> SignalWaiter::wait(std::chrono::milliseconds timeout) {
  pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
  if (poll(&waiting, 1, static_cast<int>(timeout.count())) <= 0) return std::nullopt;
  signalfd_siginfo info{};
  if (read(fd_, &info, sizeof info) != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

void reset_signals_after_fork() noexcept {
  sigset_t set;
  sigemptyset(&set);
  sigprocmask(SIG_SETMASK, &set, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
}

}  // namespace muster
