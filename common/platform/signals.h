#pragma once  // common/platform/signals.h: the signals that ask to stop as something one can wait for
#include <chrono>
#include <optional>

namespace muster {

// Construct one, once, in main before it starts a thread: it blocks SIGTERM, SIGINT and, unless it was
// ignored (nohup), SIGHUP (threads inherit that), and ignores SIGPIPE and SIGXFSZ. fd() becomes readable when
// a signal has come.
class SignalWaiter {
 public:
  SignalWaiter();
  ~SignalWaiter();
  SignalWaiter(const SignalWaiter&) = delete;
  SignalWaiter& operator=(const SignalWaiter&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  // The signal's number, or nothing when `timeout` has passed. Consumes the signal.
  [[nodiscard]] std::optional<int> wait(std::chrono::milliseconds timeout);

 private:
  int fd_;  // an epoll of both sources
  int signal_fd_ = -1;
  int pipe_[2] = {-1, -1};
};

// Undoes SignalWaiter's mask; call in a child between fork and exec.
void reset_signals_after_fork() noexcept;

}  // namespace muster
