// worker/transport/outgoing.cc: dialling
#include "worker/transport/outgoing.h"

#include <poll.h>

#include <cerrno>

namespace muster::worker {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kConnectTime{3'000};  // for one attempt to reach the other rank
constexpr BackoffOptions kRetry{
    .first = milliseconds(20), .max = milliseconds(1'000), .factor = 1.7, .jitter = 0.3};

}  // namespace

Outgoing::Outgoing(Address address, MakeStream stream, MakeHandshake handshake,
                   std::function<void(Refusal)> refused, std::uint64_t jitter_key, Instant now)
    : address_(address),
      stream_(std::move(stream)),
      handshake_(std::move(handshake)),
      refused_(std::move(refused)),
      backoff_(kRetry, jitter_key) {
  start(now);
}

pollfd Outgoing::polled() const {
  switch (state_) {
    case State::kConnecting: return {.fd = fd_.get(), .events = POLLOUT, .revents = 0};
    case State::kShaking: return {.fd = connection_->fd(), .events = connection_->events(), .revents = 0};
    default: return {.fd = -1, .events = 0, .revents = 0};
  }
}

void Outgoing::step(short revents, Instant now) {
  if (state_ == State::kPausing && now >= until_) return start(now);
  if (state_ == State::kPausing || state_ == State::kDone) return;
  if (revents == 0) {
    if (now >= until_) fail("it does not answer", now);
  } else if (state_ == State::kConnecting) {
    connected(now);
  } else {
    shake(now);
  }
}

void Outgoing::start(Instant now) {
  fd_ = Fd(socket(address_.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_.valid()) return fail(error_text(errno), now);
  state_ = State::kConnecting;
  until_ = now + kConnectTime;
  const int rc = ::connect(fd_.get(), address_.any(), address_.length);
  if (rc != 0 && errno != EINPROGRESS) fail(error_text(errno), now);
}

void Outgoing::connected(Instant now) {
  int failure = 0;
  socklen_t length = sizeof failure;
  getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &failure, &length);
  if (failure != 0) return fail(error_text(failure), now);
  state_ = State::kShaking;
  until_ = now + kHandshakeTime;
  connection_.emplace(stream_(std::move(fd_), Handshake::Role::kDialer), handshake_(), until_);
  shake(now);
}

void Outgoing::shake(Instant now) {
  connection_->step();
  switch (connection_->state()) {
    case PendingConnection::State::kRunning: return;
    case PendingConnection::State::kProven: state_ = State::kDone; return;
    case PendingConnection::State::kRefused:
      if (refused_) refused_(connection_->refusal());
      return fail("what answers there is refused: " + connection_->problem(), now);
    case PendingConnection::State::kRefusedByPeer: return fail("it refused: " + connection_->problem(), now);
    case PendingConnection::State::kClosed: return fail(connection_->problem(), now);
  }
}

void Outgoing::fail(std::string problem, Instant now) {
  problem_ = std::move(problem);
  fd_.reset();
  connection_.reset();
  state_ = State::kPausing;
  until_ = now + backoff_.next();
}

}  // namespace muster::worker
