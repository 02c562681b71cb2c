// worker/transport/connector.cc: one poll over the port, who calls there, and who is dialled
#include "worker/transport/connector.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "common/base/random.h"
#include "worker/transport/tls_stream.h"

namespace muster::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

MakeStream streams_of(const Connector::Options& options) {
  if (!options.encrypt)
    return [](Fd fd, Handshake::Role) -> std::unique_ptr<ByteStream> {
      return std::make_unique<PlainStream>(std::move(fd));
    };
  return [tls = std::make_shared<TlsStreams>(options.key)](Fd fd, Handshake::Role role) {
    return tls->stream(std::move(fd), role);
  };
}

Link link_of(const MeshIdentity& self, const Line& line) {
  return {.job_uid = self.job_uid, .membership = self.membership, .line = line, .size = self.size};
}

std::set<std::string> roster_of(const std::vector<Address>& peers) {
  std::set<std::string> roster;
  for (const Address& peer : peers) roster.insert(ip_of(peer));
  return roster;
}

}  // namespace

Connector::Connector(Fd listener, Options options)
    : listener_(std::move(listener)),
      options_(std::move(options)),
      streams_(streams_of(options_)),
      incoming_(listener_.get(),
                {.stream = streams_,
                 .handshake =
                     [this] {
                       return Handshake(Handshake::Role::kAcceptor,
                                        link_of(options_.identity, {.acceptor = options_.identity.rank}),
                                        options_.key, random_nonce());
                     },
                 // All may call at once: for the watch, and for data.
                 .members_max = std::max(Incoming::kPendingMax, 2 * options_.peers.size()),
                 .roster = roster_of(options_.peers),
                 .taken = [this](const Link& link) { return is_taken(link); },
                 .accept = [this](const Link& link,
                                  std::unique_ptr<ByteStream> stream) { keep(link.line, std::move(stream)); },
                 .refused = options_.refused,
                 .log = options_.log}),
      thread_([this] { run(); }) {}

Connector::~Connector() {
  stop_.ring();
  thread_.join();
}

void Connector::want(const Line& line) {
  {
    const MutexLock lock(mutex_);
    const auto [place, fresh] = places_.try_emplace(line);
    if (!fresh || line.dialer != options_.identity.rank) return;
    place->second.problem = "it was not reached yet";
    wanted_.push_back(line);
  }
  wanted_rings_.ring();
}

bool Connector::has(const Line& line) const {
  const MutexLock lock(mutex_);
  const auto place = places_.find(line);
  return place != places_.end() && place->second.stream != nullptr && !hung_up(place->second.stream->fd());
}

void Connector::renew(const Line& line) {
  {
    const MutexLock lock(mutex_);
    const auto place = places_.find(line);
    const bool gone =
        place != places_.end() && place->second.stream != nullptr && hung_up(place->second.stream->fd());
    if (!gone) return;
    places_.erase(place);
  }
  want(line);
}

std::unique_ptr<ByteStream> Connector::take(const Line& line) {
  const MutexLock lock(mutex_);
  const auto place = places_.find(line);
  if (place == places_.end() || place->second.stream == nullptr) return nullptr;
  place->second.taken = true;
  return std::move(place->second.stream);
}

std::string Connector::problem(const Line& line) const {
  const MutexLock lock(mutex_);
  const auto place = places_.find(line);
  if (place != places_.end() && !place->second.problem.empty()) return place->second.problem;
  // For the watch's line one caller is waited for, to whom refusals may be due.
  return line.channel == kWatchChannel ? callers_problem_ : "it has not called yet";
}

MakeHandshake Connector::dialer_of(const Line& line) const {
  return [this, link = link_of(options_.identity, line)] {
    return Handshake(Handshake::Role::kDialer, link, options_.key, random_nonce());
  };
}

void Connector::keep(const Line& line, std::unique_ptr<ByteStream> stream) {
  {
    const MutexLock lock(mutex_);
    places_[line].stream = std::move(stream);
  }
  arrivals_.ring();
}

bool Connector::is_taken(const Link& link) const {
  const MutexLock lock(mutex_);
  const auto place = places_.find(link.line);
  if (place == places_.end()) return false;
  // A caller that waited too long for its welcome has gone and comes again.
  const ByteStream* stream = place->second.stream.get();
  return place->second.taken || (stream != nullptr && !hung_up(stream->fd()));
}

void Connector::start_wanted(Instant now) {
  std::vector<Line> wanted;
  {
    const MutexLock lock(mutex_);
    wanted.swap(wanted_);
  }
  const MeshIdentity& self = options_.identity;
  for (const Line& line : wanted) {
    const auto jitter =
        hash_key(static_cast<std::uint64_t>(self.membership),
                 static_cast<std::uint64_t>(self.rank) * static_cast<std::uint64_t>(self.size) +
                     static_cast<std::uint64_t>(line.acceptor));
    outgoing_.try_emplace(line, options_.peers[static_cast<std::size_t>(line.acceptor)], streams_,
                          dialer_of(line), options_.refused, jitter, now);
  }
}

void Connector::run() {
  while (true) {
    const Instant now = steady_clock::now();
    start_wanted(now);
    std::vector<pollfd> polled{
        {.fd = stop_.fd(), .events = POLLIN, .revents = 0},
        {.fd = wanted_rings_.fd(), .events = POLLIN, .revents = 0},
        {.fd = incoming_.listens(now) ? listener_.get() : -1, .events = POLLIN, .revents = 0}};
    Instant wake = now + (incoming_.listens(now) ? std::chrono::hours(1) : milliseconds(200));
    for (const auto& [line, outgoing] : outgoing_) {
      polled.push_back(outgoing.polled());
      wake = std::min(wake, outgoing.wake_at());
    }
    const std::size_t callers = polled.size();
    incoming_.poll_into(polled, wake);
    const int count = poll(polled.data(), polled.size(), poll_timeout_ms(wake));
    if (count < 0 && errno != EINTR && errno != ENOMEM) return;  // whoever waits for it has a deadline
    if (count < 0) continue;
    if (polled[0].revents != 0) return;
    if (polled[1].revents != 0) wanted_rings_.hear();
    step_outgoing(std::span(polled).subspan(3, callers - 3));
    incoming_.step(std::span(polled).subspan(callers), polled[2].revents != 0, steady_clock::now());
    const MutexLock lock(mutex_);
    callers_problem_ = incoming_.problem();
  }
}

void Connector::step_outgoing(std::span<const pollfd> polled) {
  const Instant now = steady_clock::now();
  auto ready = polled.begin();
  for (auto one = outgoing_.begin(); one != outgoing_.end();) {
    auto& [line, outgoing] = *one;
    outgoing.step((ready++)->revents, now);
    if (outgoing.done()) {
      keep(line, outgoing.take());
      one = outgoing_.erase(one);
      continue;
    }
    const MutexLock lock(mutex_);
    places_[line].problem = outgoing.problem();
    ++one;
  }
}

}  // namespace muster::worker
