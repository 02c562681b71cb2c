// worker/transport/tcp_ring.cc: the rendezvous: one thread, one poll, until both neighbours are there
#include "worker/transport/tcp_ring.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/pods/standstill.h"
#include "worker/transport/ring_ends.h"
#include "worker/transport/sockets.h"
#include "worker/transport/tcp_links.h"
#include "worker/transport/tls_stream.h"

namespace muster::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kBacklog = 512;  // what connects before this rank is told of its peers waits there

MakeStream streams_of(const TcpRing::Options& options) {
  if (!options.encrypt) return [](Fd fd, Handshake::Role) { return plain_stream(std::move(fd)); };
  return [tls = std::make_shared<TlsStreams>(options.key)](Fd fd, Handshake::Role role) {
    return tls->stream(std::move(fd), role);
  };
}

// Of the connection that rank `dialer` makes to its successor.
MakeHandshake handshakes_of(const TcpRing::Options& options, Handshake::Role role, int dialer) {
  const RingIdentity& self = options.identity;
  const Link link{.job_uid = self.job_uid,
                  .membership = self.membership,
                  .dialer = dialer,
                  .acceptor = (dialer + 1) % self.size,
                  .size = self.size,
                  .channel = 0};
  return [link, role, key = options.key] { return Handshake(role, link, key, random_nonce()); };
}

Result<std::set<std::string>> addresses_of(const std::vector<std::string>& peers) {
  std::set<std::string> addresses;
  for (const std::string& peer : peers) {
    MUSTER_ASSIGN(const Address address, parse_address(peer));
    addresses.insert(ip_of(address));
  }
  return addresses;
}

class ListeningRing final : public TcpRing {
 public:
  explicit ListeningRing(Fd listener) : listener_(std::move(listener)), port_(port_of(listener_.get())) {}
  [[nodiscard]] int port() const override { return port_; }
  void abort() noexcept override { aborting_->ring(); }

  Result<std::unique_ptr<RingLinks>> connect(Options options, Deadline deadline) override {
    const RingIdentity& self = options.identity;
    MUSTER_CHECK(listener_.valid());
    if (self.size < 2 || self.rank < 0 || self.rank >= self.size ||
        options.peers.size() != static_cast<std::size_t>(self.size))
      return invalid_argument(fmt::format("rank {} of {} with {} peer addresses is no place in a ring",
                                          self.rank, self.size, options.peers.size()));
    const int next = (self.rank + 1) % self.size;
    const int previous = (self.rank + self.size - 1) % self.size;
    const auto peer = [&](int rank) {
      return rank_name(rank, options.peers[static_cast<std::size_t>(rank)]);
    };
    MUSTER_ASSIGN(const Address address, parse_address(options.peers[static_cast<std::size_t>(next)]));
    MUSTER_ASSIGN(auto roster, addresses_of(options.peers));
    const MakeStream streams = streams_of(options);
    Outgoing outgoing(address, streams, handshakes_of(options, Handshake::Role::kDialer, self.rank),
                      options.refused,
                      hash_key(static_cast<std::uint64_t>(self.rank), static_cast<std::uint64_t>(self.size)),
                      steady_clock::now());
    Incoming incoming(listener_.get(),
                      {.stream = streams,
                       .handshake = handshakes_of(options, Handshake::Role::kAcceptor, previous),
                       .roster = std::move(roster),
                       .refused = options.refused,
                       .log = options.log});
    while (!outgoing.done() || !incoming.done()) {
      if (aborting_->rung.load(std::memory_order_acquire)) return aborted("the rendezvous was aborted");
      if (steady_clock::now() >= deadline) {
        std::string missing;
        if (!outgoing.done()) missing = fmt::format("successor {}: {}", peer(next), outgoing.problem());
        if (!incoming.done())
          missing += fmt::format("{}predecessor {}: {}", missing.empty() ? "" : "; ", peer(previous),
                                 incoming.problem());
        return deadline_exceeded("the ring was not complete in time: " + missing);
      }
      step(outgoing, incoming, deadline);
    }
    listener_.reset();
    auto successor = outgoing.take();
    auto predecessor = incoming.take();
    tune_stream(successor->fd(), static_cast<int>(options.tcp_user_timeout.count()));
    tune_stream(predecessor->fd(), static_cast<int>(options.tcp_user_timeout.count()));
    return std::unique_ptr<RingLinks>(std::make_unique<TcpLinks>(
        std::move(successor), std::move(predecessor),
        TcpLinks::Names{.self = peer(self.rank), .successor = peer(next), .predecessor = peer(previous)},
        self.rank, self.size, options.peer_timeout, aborting_));
  }

 private:
  void step(Outgoing& outgoing, Incoming& incoming, Deadline deadline) {
    std::vector<pollfd> polled{{.fd = aborting_->alarm.fd(), .events = POLLIN, .revents = 0},
                               {.fd = listener_.get(), .events = POLLIN, .revents = 0},
                               outgoing.polled()};
    const std::size_t fixed = polled.size();
    Instant wake = deadline;
    if (!outgoing.done()) wake = std::min(wake, outgoing.wake_at());
    incoming.poll_into(polled, wake);
    const auto left = std::chrono::ceil<milliseconds>(wake - steady_clock::now());
    const int timeout = static_cast<int>(std::clamp<milliseconds::rep>(left.count(), 0, 60'000));
    if (poll(polled.data(), polled.size(), timeout) < 0) return;  // interrupted: the caller comes again
    const Instant now = steady_clock::now();
    outgoing.step(polled[2].revents, now);
    incoming.step(std::span(polled).subspan(fixed), polled[1].revents != 0, now);
  }

  Fd listener_;
  int port_;
  std::shared_ptr<AbortSignal> aborting_ = std::make_shared<AbortSignal>();
};

}  // namespace

Result<std::unique_ptr<TcpRing>> TcpRing::listen(const std::string& ip, int port) {
  MUSTER_ASSIGN(const Address address, make_address(ip, port));
  MUSTER_ASSIGN(Fd listener, listen_on(address, kBacklog));
  return std::unique_ptr<TcpRing>(std::make_unique<ListeningRing>(std::move(listener)));
}

}  // namespace muster::worker
