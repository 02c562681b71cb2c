// worker/transport/tcp_links.cc: non-blocking sends and receives in the caller's thread, and the blame for
// failures
#include "worker/transport/tcp_links.h"

#include <fmt/format.h>
#include <poll.h>

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

}  // namespace

TcpLinks::TcpLinks(std::unique_ptr<ByteStream> successor, std::unique_ptr<ByteStream> predecessor,
                   Names names, int rank, int size, std::chrono::milliseconds peer_timeout,
                   std::shared_ptr<AbortSignal> aborting)
    : successor_(std::move(successor)),
      predecessor_(std::move(predecessor)),
      names_(std::move(names)),
      rank_(rank),
      size_(size),
      aborting_(std::move(aborting)),
      watch_(*successor_, *predecessor_, PeerWatch(names_.self, names_.successor, peer_timeout),
             [this] { aborting_->alarm.ring(); }) {}

TcpLinks::~TcpLinks() {
  if (done_) watch_.await_end(kLinger);
}

Result<std::size_t> TcpLinks::send_some(std::span<const std::byte> head, std::span<const std::byte> body) {
  if (const Status open = check_open(); !open) return open.error();
  return judge(Peer::kSuccessor, successor_->send(head, body));
}

Result<std::size_t> TcpLinks::receive_some(std::span<std::byte> head, std::span<std::byte> body) {
  if (const Status open = check_open(); !open) return open.error();
  return judge(Peer::kPredecessor, predecessor_->receive(head, body));
}

Result<RingLinks::Ready> TcpLinks::wait(bool sending, bool receiving, Deadline deadline) {
  if (end_) return *end_;
  std::array<pollfd, 3> polled{};
  polled[0] = {.fd = sending ? successor_->fd() : -1, .events = POLLOUT, .revents = 0};
  polled[1] = {.fd = receiving ? predecessor_->fd() : -1, .events = POLLIN, .revents = 0};
  polled[2] = {.fd = aborting_->alarm.fd(), .events = POLLIN, .revents = 0};
  const bool here = receiving && predecessor_->holds_back();
  while (true) {
    const int timeout = here ? 0 : poll_timeout_ms(deadline);
    watch_.count_wait();
    const int count = timeout == 0 && !here ? 0 : poll(polled.data(), polled.size(), timeout);
    const int failure = errno;
    watch_.count_wait();
    if (count < 0 && failure == EINTR) continue;
    if (count < 0) return end(internal_error(fmt::format("poll: {}", error_text(failure))));
    if (count == 0 && !here) return late(receiving);
    if (polled[2].revents != 0) {
      if (aborting_->rung.load(std::memory_order_acquire)) return aborted("the ring was aborted");
      return end(*watch_.await_verdict(kVerdictTime));
    }
    return Ready{.send = polled[0].revents != 0, .receive = here || polled[1].revents != 0};
  }
}

void TcpLinks::leave(const Status& why) noexcept {
  if (end_) return;
  done_ = why.has_value();
  end_ = done_ ? unavailable("this rank has left the ring") : why.error();
  watch_.leave(why);
  successor_->end_sending();
}

Status TcpLinks::check_open() const {
  if (end_) return *end_;
  if (aborting_->rung.load(std::memory_order_acquire)) return aborted("the ring was aborted");
  return {};
}

Result<std::size_t> TcpLinks::judge(Peer peer, const Moved& moved) {
  if (moved.end == Moved::End::kNone) return moved.bytes;
  const std::string& name = peer == Peer::kSuccessor ? names_.successor : names_.predecessor;
  if (const auto verdict = watch_.await_verdict(kVerdictTime)) return end(*verdict);
  switch (moved.end) {
    case Moved::End::kUnreachable:
      return end(unavailable(name + " does not answer any more: its machine or network is gone"));
    case Moved::End::kForged:
      return end(unavailable("the bytes on the connection to " + name +
                             " are not what it encrypted: something between the two machines changes them"));
    default: return end(unavailable(name + " closed the connection"));
  }
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
