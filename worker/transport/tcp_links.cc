// worker/transport/tcp_links.cc: non-blocking sends and receives in the caller's thread, and the blame for
// failures
#include "worker/transport/tcp_links.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace muster::worker {
namespace {

// For a verdict to come round when a link broke or a call is late; it takes some milliseconds.
constexpr std::chrono::milliseconds kVerdictTime{300};
// A rank that is done stays for so long until its successor is done too: to close earlier would reset the
// connection, and payload still on its way would be lost.
constexpr std::chrono::milliseconds kLinger{1'000};

int poll_timeout_ms(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(left.count(), 0, 3'600'000));
}

template <typename Head, typename Body>
std::size_t gather(std::array<iovec, 2>& parts, Head head, Body body) {
  std::size_t count = 0;
  for (const auto bytes : {head, body}) {
    if (!bytes.empty()) {
      parts[count++] = {.iov_base = const_cast<void*>(static_cast<const void*>(bytes.data())),
                        .iov_len = bytes.size()};
    }
  }
  return count;
}

}  // namespace

TcpLinks::TcpLinks(Fd successor, Fd predecessor, Names names, int rank, int size,
                   std::shared_ptr<AbortSignal> aborting)
    : successor_(std::move(successor)),
      predecessor_(std::move(predecessor)),
      names_(std::move(names)),
      rank_(rank),
      size_(size),
      aborting_(std::move(aborting)),
      watch_(successor_.get(), predecessor_.get(), PeerWatch(names_.self, names_.successor),
             [this] { aborting_->alarm.ring(); }) {}

TcpLinks::~TcpLinks() {
  if (done_) watch_.await_end(kLinger);
}

Result<std::size_t> TcpLinks::send_some(std::span<const std::byte> head, std::span<const std::byte> body) {
  std::array<iovec, 2> parts{};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = gather(parts, head, body);
  if (const Status open = check_open(); !open) return open.error();
  const ssize_t sent = sendmsg(successor_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent >= 0 ? static_cast<std::size_t>(sent) : nothing_moved(Peer::kSuccessor, sent);
}

Result<std::size_t> TcpLinks::receive_some(std::span<std::byte> head, std::span<std::byte> body) {
  std::array<iovec, 2> parts{};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = gather(parts, head, body);
  if (const Status open = check_open(); !open) return open.error();
  const ssize_t received = recvmsg(predecessor_.get(), &message, MSG_DONTWAIT);
  return received > 0 ? static_cast<std::size_t>(received) : nothing_moved(Peer::kPredecessor, received);
}

Result<RingLinks::Ready> TcpLinks::wait(bool sending, bool receiving, Deadline deadline) {
  if (end_) return *end_;
  std::array<pollfd, 3> polled{};
  polled[0] = {.fd = sending ? successor_.get() : -1, .events = POLLOUT, .revents = 0};
  polled[1] = {.fd = receiving ? predecessor_.get() : -1, .events = POLLIN, .revents = 0};
  polled[2] = {.fd = aborting_->alarm.fd(), .events = POLLIN, .revents = 0};
  while (true) {
    const int timeout = poll_timeout_ms(deadline);
    watch_.count_wait();
    const int count = timeout == 0 ? 0 : poll(polled.data(), polled.size(), timeout);
    const int failure = errno;
    watch_.count_wait();
    if (count < 0 && failure == EINTR) continue;
    if (count < 0) return end(internal_error(fmt::format("poll: {}", error_text(failure))));
    if (count == 0) return late(receiving);
    if (polled[2].revents != 0) {
      if (aborting_->rung.load(std::memory_order_acquire)) return aborted("the ring was aborted");
      return end(*watch_.await_verdict(kVerdictTime));
    }
    return Ready{.send = polled[0].revents != 0, .receive = polled[1].revents != 0};
  }
}

void TcpLinks::leave(const Status& why) noexcept {
  if (end_) return;
  done_ = why.has_value();
  end_ = done_ ? unavailable("this rank has left the ring") : why.error();
  watch_.leave(why);
  shutdown(successor_.get(), SHUT_WR);
}

Status TcpLinks::check_open() const {
  if (end_) return *end_;
  if (aborting_->rung.load(std::memory_order_acquire)) return aborted("the ring was aborted");
  return {};
}

Result<std::size_t> TcpLinks::nothing_moved(Peer peer, ssize_t count) {
  const int failure = count < 0 ? errno : 0;
  if (failure == EAGAIN || failure == EINTR) return std::size_t{0};
  const bool unreachable = failure == ETIMEDOUT || failure == EHOSTUNREACH;
  const std::string& name = peer == Peer::kSuccessor ? names_.successor : names_.predecessor;
  if (const auto verdict = watch_.await_verdict(kVerdictTime)) return end(*verdict);
  return end(unavailable(name + (unreachable ? " does not answer any more: its machine or network is gone"
                                             : " closed the connection")));
}

Error TcpLinks::late(bool receiving) {
  watch_.ask();
  if (const auto verdict = watch_.await_verdict(kVerdictTime)) return end(*verdict);
  // All ranks have come: bytes move too slowly, or not at all.
  return end(deadline_exceeded(
      receiving ? names_.predecessor + " sent nothing in time: it, or a rank before it, is too slow"
                : names_.successor + " did not take all data in time: it is too slow"));
}

Error TcpLinks::end(const Error& why) {
  leave(why);
  return why;
}

}  // namespace muster::worker
