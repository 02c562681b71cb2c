// worker/transport/incoming.cc: accepting, and who makes room
#include "worker/transport/incoming.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>

namespace muster::worker {
namespace {

constexpr int kAcceptsAtOnce = 256;                  // then those that are here have their turn
constexpr std::chrono::milliseconds kRestTime{200};  // without descriptors or memory

}  // namespace

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
      if (now >= connection.until()) refuse(caller, Refusal::kTimeout, now);
      return;
    case PendingConnection::State::kProven: return accept(caller, now);
    default: return refuse(caller, connection.refusal(), connection.problem(), now);
  }
}

void Incoming::accept(Caller& caller, Instant now) {
  const Link& link = caller.connection.link();
  if (options_.taken(link)) return refuse(caller, Refusal::kTaken, now);
  if (!caller.connection.welcome()) return refuse(caller, Refusal::kClosed, now);
  options_.accept(link, caller.connection.take());
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
    const int failure = errno;
    const bool nobody = failure == EAGAIN || failure == EINTR || failure == ECONNABORTED;
    const bool out_of_descriptors = failure == EMFILE || failure == ENFILE;
    Callers& unknown = callers_[0];
    if (!nobody && (!out_of_descriptors || unknown.empty())) accept_from_ = now + kRestTime;
    if (!out_of_descriptors || unknown.empty()) return;
    refuse(unknown.front(), Refusal::kCrowded, now);
    unknown.pop_front();
  }
}

void Incoming::add(Fd fd, const Address& address, Instant now) {
  const bool of_roster = options_.roster.contains(ip_of(address));
  Callers& callers = callers_[of_roster ? 1 : 0];
  if (callers.size() >= (of_roster ? options_.members_max : kPendingMax)) {
    refuse(callers.front(), Refusal::kCrowded, now);
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
      fmt::format("data port: {}{}", line,
                  *left_out == 0 ? "" : fmt::format(" ({} more before, for the same reason)", *left_out)));
}

}  // namespace muster::worker
