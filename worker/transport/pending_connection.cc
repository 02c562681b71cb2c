// worker/transport/pending_connection.cc: a handshake over a non-blocking stream
#include "worker/transport/pending_connection.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/check.h"

namespace muster::worker {

PendingConnection::PendingConnection(std::unique_ptr<ByteStream> stream, Handshake handshake, Instant until)
    : stream_(std::move(stream)),
      handshake_(std::move(handshake)),
      until_(until),
      events_(handshake_.begin().empty() ? POLLIN : POLLOUT) {}

void PendingConnection::step() {
  if (state_ != State::kRunning || (!open_ && !open())) return;
  while (state_ == State::kRunning) {
    message_.resize(handshake_.expected());
    const Moved moved = stream_->receive({}, std::span(message_).subspan(filled_));
    if (moved.end != Moved::End::kNone) {
      tls_failed_ = moved.end == Moved::End::kForged;
      state_ = tls_failed_ ? State::kRefused : State::kClosed;
      return;
    }
    if (moved.bytes == 0) return;
    filled_ += moved.bytes;
    if (filled_ == message_.size()) hear();
  }
}

bool PendingConnection::open() {
  switch (stream_->open()) {
    case ByteStream::Opening::kReading: events_ = POLLIN; return false;
    case ByteStream::Opening::kWriting: events_ = POLLOUT; return false;
    case ByteStream::Opening::kFailed:
      tls_failed_ = true;
      state_ = State::kRefused;
      return false;
    case ByteStream::Opening::kDone: break;
  }
  open_ = true;
  events_ = POLLIN;
  if (say(handshake_.begin())) return true;
  state_ = State::kClosed;
  return false;
}

void PendingConnection::hear() {
  filled_ = 0;
  const std::vector<std::byte> answer = handshake_.heard(message_);
  switch (handshake_.state()) {
    case Handshake::State::kRunning:
      if (!say(answer)) state_ = State::kClosed;
      return;
    case Handshake::State::kProven:
      welcome_ = answer;
      state_ = State::kProven;
      return;
    case Handshake::State::kRefused: state_ = State::kRefused; return;
    case Handshake::State::kRefusedByPeer: state_ = State::kRefusedByPeer; return;
  }
}

bool PendingConnection::say(std::span<const std::byte> message) {
  // A fresh connection takes these few bytes whole.
  return message.empty() || stream_->send({}, message).bytes == message.size();
}

bool PendingConnection::welcome() {
  MUSTER_CHECK(state_ == State::kProven);
  return !hung_up(fd()) && say(welcome_);
}

void PendingConnection::refuse(Refusal refusal) {
  if (open_) (void)say(encode_refusal(refusal));
  stream_->end_sending();
}

Refusal PendingConnection::refusal() const {
  if (state_ == State::kClosed) return Refusal::kClosed;
  return tls_failed_ ? Refusal::kTls : handshake_.refusal();
}

std::string PendingConnection::problem() const {
  if (state_ == State::kClosed || tls_failed_) return std::string(sentence_of(refusal()));
  return handshake_.problem();
}

Nonce random_nonce() {
  Nonce nonce{};
  MUSTER_CHECK(getentropy(nonce.data(), nonce.size()) == 0);
  return nonce;
}

bool hung_up(int fd) {
  std::byte next{};
  const ssize_t count = recv(fd, &next, 1, MSG_PEEK | MSG_DONTWAIT);
  return count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR);
}

}  // namespace muster::worker
