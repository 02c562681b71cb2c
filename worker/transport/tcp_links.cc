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

// How long a rank that lost its neighbour waits to hear whether that neighbour only left because of another.
constexpr std::chrono::milliseconds kNoteGrace{150};

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

bool would_block(int error_number) { return error_number == EAGAIN || error_number == EINTR; }

}  // namespace

TcpLinks::TcpLinks(Fd successor, Fd predecessor, Names names, int rank, int size,
                   std::shared_ptr<AbortSignal> aborting)
    : successor_(std::move(successor)),
      predecessor_(std::move(predecessor)),
      names_(std::move(names)),
      rank_(rank),
      size_(size),
      aborting_(std::move(aborting)) {}

Result<std::size_t> TcpLinks::send_some(std::span<const std::byte> head, std::span<const std::byte> body) {
  if (!end_.empty()) return unavailable(end_);
  if (aborting_->rung.load(std::memory_order_acquire)) return aborted("the ring was aborted");
  std::array<iovec, 2> parts{};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = gather(parts, head, body);
  const ssize_t sent = sendmsg(successor_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) return static_cast<std::size_t>(sent);
  if (would_block(errno)) return std::size_t{0};
  return lost(Peer::kSuccessor, errno);
}

Result<std::size_t> TcpLinks::receive_some(std::span<std::byte> head, std::span<std::byte> body) {
  if (!end_.empty()) return unavailable(end_);
  if (aborting_->rung.load(std::memory_order_acquire)) return aborted("the ring was aborted");
  std::array<iovec, 2> parts{};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = gather(parts, head, body);
  const ssize_t received = recvmsg(predecessor_.get(), &message, MSG_DONTWAIT);
  if (received > 0) return static_cast<std::size_t>(received);
  if (received < 0 && would_block(errno)) return std::size_t{0};
  return lost(Peer::kPredecessor, received == 0 ? 0 : errno);
}

Result<RingLinks::Ready> TcpLinks::wait(Sending sending, bool receiving, Deadline deadline) {
  if (!end_.empty()) return unavailable(end_);
  std::array<pollfd, 3> polled{};
  polled[0] = {.fd = sending == Sending::kDone ? -1 : successor_.get(),
               .events = static_cast<short>(POLLIN | POLLRDHUP | (sending == Sending::kNow ? POLLOUT : 0)),
               .revents = 0};
  polled[1] = {.fd = receiving ? predecessor_.get() : -1, .events = POLLIN, .revents = 0};
  polled[2] = {.fd = aborting_->alarm.fd(), .events = POLLIN, .revents = 0};
  while (true) {
    const int timeout = poll_timeout_ms(deadline);
    const int count = timeout == 0 ? 0 : poll(polled.data(), polled.size(), timeout);
    if (count < 0 && errno != EINTR) return end(Code::kInternal, fmt::format("poll: {}", error_text(errno)));
    if (count == 0) return late(sending, receiving);
    if (count < 0) continue;
    if (polled[2].revents != 0) return aborted("the ring was aborted");
    if ((polled[0].revents & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) != 0) return lost(Peer::kSuccessor, 0);
    return Ready{.send = polled[0].revents != 0, .receive = polled[1].revents != 0};
  }
}

void TcpLinks::leave(std::string_view reason) noexcept {
  if (!end_.empty()) return;
  end_ = reason;
  const NoteBytes note = encode_note({.kind = Note::Kind::kLost, .reason = end_});
  [[maybe_unused]] const auto sent =
      send(predecessor_.get(), note.data(), note.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  shutdown(predecessor_.get(), SHUT_WR);
  successor_.reset();
  predecessor_.reset();
}

Error TcpLinks::lost(Peer peer, int error_number) {
  const bool timed_out = error_number == ETIMEDOUT || error_number == EHOSTUNREACH;
  const std::string& name = peer == Peer::kSuccessor ? names_.successor : names_.predecessor;
  await_note();
  if (!told_.empty()) return end(Code::kUnavailable, told_);
  return end(Code::kUnavailable,
             fmt::format("{} {}", name,
                         timed_out ? "does not answer any more: its machine or network is gone"
                                   : "closed the connection"));
}

Error TcpLinks::late(Sending sending, bool receiving) {
  if (receiving) {
    return end(
        Code::kDeadlineExceeded,
        fmt::format("{} sent nothing in time: it, or a rank before it, stands still", names_.predecessor));
  }
  return end(Code::kDeadlineExceeded, fmt::format("{} took {} in time: it stands still", names_.successor,
                                                  sending == Sending::kNow ? "no data" : "not all data"));
}

Error TcpLinks::end(Code code, const std::string& reason) {
  leave(reason);
  return Error{code, reason};
}

bool TcpLinks::read_note() {
  while (note_filled_ < note_.size()) {
    const ssize_t count =
        recv(successor_.get(), note_.data() + note_filled_, note_.size() - note_filled_, MSG_DONTWAIT);
    if (count < 0 && would_block(errno)) return false;
    if (count <= 0) return true;
    note_filled_ += static_cast<std::size_t>(count);
  }
  const auto note = decode_note(note_);
  if (note && note->kind == Note::Kind::kLost) told_ = note->reason;
  return true;
}

void TcpLinks::await_note() {
  const Deadline deadline = deadline_after(kNoteGrace);
  while (!read_note()) {
    pollfd polled{.fd = successor_.get(), .events = POLLIN, .revents = 0};
    const int timeout = poll_timeout_ms(deadline);
    if (timeout == 0 || poll(&polled, 1, timeout) == 0) return;
  }
}

}  // namespace muster::worker
