// worker/transport/ring_ends.cc: dialling, accepting, and who makes room
#include "worker/transport/ring_ends.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>

namespace muster::worker {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kConnectTime{3'000};  // for one attempt to reach the successor
constexpr BackoffOptions kRetry{
    .first = milliseconds(20), .max = milliseconds(1'000), .factor = 1.7, .jitter = 0.3};
constexpr int kAcceptsAtOnce = 256;  // then those that are here have their turn

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

void Incoming::poll_into(std::vector<pollfd>& polled, Instant& wake) const {
  for (const Callers& callers : callers_) {
    for (const Caller& caller : callers) {
      polled.push_back({.fd = caller.connection.fd(), .events = caller.connection.events(), .revents = 0});
      wake = std::min(wake, caller.connection.until());
    }
  }
}

void Incoming::step(std::span<const pollfd> revents, bool arrivals, Instant now) {
  std::size_t index = 0;
  for (Callers& callers : callers_) {
    for (Caller& caller : callers) {
      if (revents[index++].revents != 0) caller.connection.step();
      judge(caller, now);
    }
    std::erase_if(callers, [](const Caller& caller) { return caller.over; });
  }
  if (arrivals) accept_some(now);
}

void Incoming::judge(Caller& caller, Instant now) {
  PendingConnection& connection = caller.connection;
  switch (connection.state()) {
    case PendingConnection::State::kRunning:
      if (now >= connection.until())
        refuse(caller, Refusal::kTimeout, std::string(sentence_of(Refusal::kTimeout)), now);
      return;
    case PendingConnection::State::kProven: return take_if_free(caller, now);
    default: return refuse(caller, connection.refusal(), connection.problem(), now);
  }
}

void Incoming::take_if_free(Caller& caller, Instant now) {
  // A predecessor that waited too long for its welcome has gone and comes again.
  if (accepted_ != nullptr && !hung_up(accepted_->fd()))
    return refuse(caller, Refusal::kTaken, std::string(sentence_of(Refusal::kTaken)), now);
  if (!caller.connection.welcome())
    return refuse(caller, Refusal::kClosed, std::string(sentence_of(Refusal::kClosed)), now);
  accepted_ = caller.connection.take();
  caller.over = true;
}

void Incoming::accept_some(Instant now) {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    Address address;
    Fd fd(accept4(listener_, address.any(), &address.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.valid()) {
      add(std::move(fd), address, now);
      continue;
    }
    const bool out_of_descriptors = errno == EMFILE || errno == ENFILE;
    Callers& unknown = callers_[0];
    if (!out_of_descriptors || unknown.empty()) return;
    refuse(unknown.front(), Refusal::kCrowded, std::string(sentence_of(Refusal::kCrowded)), now);
    unknown.pop_front();
  }
}

void Incoming::add(Fd fd, const Address& address, Instant now) {
  const bool of_roster = options_.roster.contains(ip_of(address));
  Callers& callers = callers_[of_roster ? 1 : 0];
  if (callers.size() >= kPendingMax) {
    refuse(callers.front(), Refusal::kCrowded, std::string(sentence_of(Refusal::kCrowded)), now);
    callers.pop_front();
  }
  callers.push_back(
      {.connection = PendingConnection(options_.stream(std::move(fd), Handshake::Role::kAcceptor),
                                       options_.handshake(), now + kHandshakeTime),
       .from = to_string(address),
       .of_roster = of_roster});
}

void Incoming::refuse(Caller& caller, Refusal refusal, const std::string& problem, Instant now) {
  caller.connection.refuse(refusal);
  caller.over = true;
  if (options_.refused) options_.refused(refusal);
  const std::string line = fmt::format("{} was refused: {}", caller.from, problem);
  if (caller.of_roster || !problem_of_roster_) problem_ = line;  // a member's says more than a stranger's
  problem_of_roster_ = problem_of_roster_ || caller.of_roster;
  if (!options_.log) return;
  const auto left_out = lines_.pass(static_cast<std::uint32_t>(refusal), now);
  if (!left_out) return;
  options_.log(
      fmt::format("ring: {}{}", line,
                  *left_out == 0 ? "" : fmt::format(" ({} more before, for the same reason)", *left_out)));
}

}  // namespace muster::worker
