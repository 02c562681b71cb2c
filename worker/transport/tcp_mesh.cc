// worker/transport/tcp_mesh.cc: the rendezvous, non-blocking sends and receives in the caller's thread, and
// the blame for failures
#include "worker/transport/tcp_mesh.h"

#include <fmt/format.h>
#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "common/base/check.h"
#include "common/pods/standstill.h"
#include "worker/transport/shared_stream.h"
#include "worker/transport/watch_thread.h"

namespace muster::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kBacklog = 512;  // what connects before this rank is told of its peers waits there
// For a verdict to come round when a connection broke or a call is late; it takes some milliseconds.
constexpr milliseconds kVerdictTime{300};
// A rank that is done stays for so long until those it is connected with are done too: to close earlier would
// reset connections, and payload still on its way would be lost.
constexpr milliseconds kLinger{1'000};
constexpr milliseconds kLookTime{200};
constexpr int kOffersMax = 16;                     // of memory: 4 MiB a rank, however many it sends to
constexpr std::chrono::microseconds kLookOut{50};  // some times of a wake-up
constexpr int kLooks = 50;                         // between two yields

void pause_briefly() {  // in a loop that waits for another processor
#ifdef __x86_64__
  __builtin_ia32_pause();
#endif
}

// What connect() and the mesh it made share: one abort for both.
struct AbortSignal {
  Alarm alarm;
  std::atomic<bool> rung = false;

  void ring() noexcept {
    rung.store(true, std::memory_order_release);
    alarm.ring();
  }
};

struct WatchLinks {
  std::unique_ptr<ByteStream> successor;
  std::unique_ptr<ByteStream> predecessor;
};

class TcpMesh final : public Mesh {
 public:
  TcpMesh(std::unique_ptr<Connector> connector, WatchLinks links, const MeshPort::Options& options,
          std::shared_ptr<AbortSignal> aborting)
      : rank_(options.identity.rank),
        names_(names_of(options)),
        tcp_user_timeout_(options.tcp_user_timeout),
        share_memory_(options.share_memory && !options.encrypt),
        aborting_(std::move(aborting)),
        connector_(std::move(connector)),
        links_(std::move(links)),
        peers_(names_.size()),
        watch_(*links_.successor, *links_.predecessor,
               PeerWatch(name(rank_), name((rank_ + 1) % size()), options.peer_timeout),
               [this] { aborting_->alarm.ring(); }) {}
  ~TcpMesh() override {
    if (!done_) return;
    await_others(steady_clock::now() + kLinger);
    watch_.await_end(kLinger);
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return static_cast<int>(names_.size()); }

  Result<std::size_t> send_some(int peer, std::span<const std::byte> head,
                                std::span<const std::byte> body) override {
    MUSTER_TRY(check_open());
    ByteStream* const stream = stream_of(peer, Way::kTo);
    return stream == nullptr ? Result<std::size_t>(0) : judge(peer, stream->send(head, body));
  }
  Result<std::size_t> receive_some(int peer, std::span<std::byte> head, std::span<std::byte> body) override {
    MUSTER_TRY(check_open());
    ByteStream* const stream = stream_of(peer, Way::kFrom);
    return stream == nullptr ? Result<std::size_t>(0) : judge(peer, stream->receive(head, body));
  }

  Status wait(std::span<Interest> interests, Deadline deadline) override {
    if (end_) return *end_;
    while (true) {
      MUSTER_ASSIGN(const bool ready, wait_once(interests, deadline));
      if (ready) return {};
    }
  }

  Status state() override {
    MUSTER_TRY(check_open());
    const auto verdict = watch_.await_verdict(milliseconds(0));
    return verdict ? Status(end(*verdict)) : Status();
  }
  std::optional<Error> blame() override {
    if (end_) return end_;
    watch_.ask();
    const auto verdict = watch_.await_verdict(kVerdictTime);
    return verdict ? std::optional(end(*verdict)) : std::nullopt;
  }
  void abort() noexcept override { aborting_->ring(); }
  void leave(const Status& why) noexcept override {
    if (end_) return;
    done_ = why.has_value();
    end_ = done_ ? unavailable("this rank has left the mesh") : why.error();
    watch_.leave(why);
    for (const Peer& peer : peers_)
      for (const auto& stream : peer.streams)
        if (stream != nullptr) stream->end_sending();
  }

 private:
  enum class Way : std::uint8_t { kTo, kFrom };
  struct Peer {
    std::array<std::unique_ptr<ByteStream>, 2> streams;  // by Way; empty: none yet
    [[nodiscard]] const ByteStream* at(Way way) const { return streams[static_cast<std::size_t>(way)].get(); }
  };

  static std::vector<std::string> names_of(const MeshPort::Options& options) {
    std::vector<std::string> names;
    names.reserve(options.peers.size());
    for (const std::string& peer : options.peers)
      names.push_back(rank_name(static_cast<int>(names.size()), peer));
    return names;
  }
  [[nodiscard]] const std::string& name(int rank) const { return names_[static_cast<std::size_t>(rank)]; }

  [[nodiscard]] const Peer& peer(int rank) const { return peers_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] Line line(int peer, Way way) const {
    return way == Way::kTo ? Line{.dialer = rank_, .acceptor = peer, .channel = kDataChannel}
                           : Line{.dialer = peer, .acceptor = rank_, .channel = kDataChannel};
  }

  // The connection to or from `peer`; where there is none yet, it is asked for.
  ByteStream* stream_of(int peer, Way way) {
    MUSTER_CHECK(peer >= 0 && peer < size() && peer != rank_);
    auto& stream = peers_[static_cast<std::size_t>(peer)].streams[static_cast<std::size_t>(way)];
    if (stream != nullptr) return stream.get();
    stream = connector_->take(line(peer, way));
    if (stream == nullptr) {
      connector_->want(line(peer, way));
    } else {
      tune_stream(stream->fd(), static_cast<int>(tcp_user_timeout_.count()));
      if (share_memory_ && way == Way::kFrom) stream = take_memory(std::move(stream));
      if (share_memory_ && way == Way::kTo) stream = offer_memory(std::move(stream), offers_left_);
    }
    return stream.get();
  }

  // Sets in `interests` what can move. False: only a connection has come, or a signal.
  Result<bool> wait_once(std::span<Interest> interests, Deadline deadline) {
    polled_.assign({{.fd = aborting_->alarm.fd(), .events = POLLIN, .revents = 0},
                    {.fd = connector_->arrivals().fd(), .events = POLLIN, .revents = 0}});
    for (const Interest& interest : interests) {
      add_polled(interest.send ? stream_of(interest.peer, Way::kTo) : nullptr, ByteStream::Way::kSend);
      add_polled(interest.receive ? stream_of(interest.peer, Way::kFrom) : nullptr,
                 ByteStream::Way::kReceive);
    }
    watch_.count_wait();
    const bool here = comes_soon(interests) || any_of(interests, [](ByteStream& stream, auto way) {
                        return stream.can_move_before_wait(way);
                      });
    const int timeout = here ? 0 : poll_timeout_ms(deadline);
    const bool idle = timeout == 0 && !here && !interests.empty();
    const int count = idle ? 0 : poll(polled_.data(), polled_.size(), timeout);
    const int failure = errno;
    watch_.count_wait();
    if (count < 0 && failure == EINTR) return false;
    if (count < 0) return end(internal_error(fmt::format("poll: {}", error_text(failure))));
    if (count == 0 && !here) return interests.empty() ? Result<bool>(true) : late(interests);
    if (polled_[0].revents != 0) {
      if (aborting_->rung.load(std::memory_order_acquire)) return aborted("the mesh was aborted");
      return end(*watch_.await_verdict(kVerdictTime));
    }
    if (polled_[1].revents != 0) connector_->arrivals().hear();
    return set_ready(interests);
  }

  void add_polled(const ByteStream* stream, ByteStream::Way way) {
    if (stream == nullptr) {
      polled_.push_back({.fd = -1, .events = 0, .revents = 0});
    } else {
      polled_.push_back({.fd = stream->fd(), .events = stream->events(way), .revents = 0});
    }
  }

  // `ask` of each stream of the interests, until one says yes.
  template <typename Ask>
  [[nodiscard]] bool any_of(std::span<const Interest> interests, const Ask& ask) {
    return std::ranges::any_of(interests, [&](const Interest& interest) {
      auto& [to, from] = peers_[static_cast<std::size_t>(interest.peer)].streams;
      return (interest.send && to != nullptr && ask(*to, ByteStream::Way::kSend)) ||
             (interest.receive && from != nullptr && ask(*from, ByteStream::Way::kReceive));
    });
  }

  // Between processes of one machine bytes come sooner than a thread that sleeps is woken. If the other one
  // waits for this processor, it gets it.
  [[nodiscard]] bool comes_soon(std::span<const Interest> interests) {
    if (!any_of(interests, [](const ByteStream& stream, auto /*way*/) { return stream.in_memory(); }))
      return false;
    const Instant until = steady_clock::now() + kLookOut;
    do {
      for (int i = 0; i < kLooks; ++i) {
        if (any_of(interests, [](const ByteStream& stream, auto way) { return stream.can_move(way); }))
          return true;
        pause_briefly();
      }
      sched_yield();
    } while (steady_clock::now() < until);
    return false;
  }

  // By polled_, which has two entries of its own and then two for each interest: to and from.
  [[nodiscard]] bool set_ready(std::span<Interest> interests) {
    const auto ready = [&](std::size_t i, std::size_t way, bool wanted) {
      const auto& stream = peer(interests[i].peer).streams[way];
      return wanted && (polled_[2 + 2 * i + way].revents != 0 ||
                        (stream != nullptr && stream->can_move(static_cast<ByteStream::Way>(way))));
    };
    bool any = false;
    for (std::size_t i = 0; i < interests.size(); ++i)
      any = any || ready(i, 0, interests[i].send) || ready(i, 1, interests[i].receive);
    if (!any) return false;
    for (std::size_t i = 0; i < interests.size(); ++i) {
      interests[i].receive = ready(i, 1, interests[i].receive);
      interests[i].send = ready(i, 0, interests[i].send);
    }
    return true;
  }

  Status check_open() const {
    if (end_) return *end_;
    if (aborting_->rung.load(std::memory_order_acquire)) return aborted("the mesh was aborted");
    return {};
  }

  // The bytes that a call moved: 0 when it would only block, else the end.
  Result<std::size_t> judge(int peer, const Moved& moved) {
    if (moved.end == Moved::End::kNone) return moved.bytes;
    if (const auto verdict = watch_.await_verdict(kVerdictTime)) return end(*verdict);
    switch (moved.end) {
      case Moved::End::kUnreachable:
        return end(unavailable(name(peer) + " does not answer any more: its machine or network is gone"));
      case Moved::End::kForged:
        return end(unavailable(
            share_memory_
                ? name(peer) + " writes what no worker of this release does; is its image another?"
                : "the bytes on the connection to " + name(peer) +
                      " are not what it encrypted: something between the two machines changes them"));
      default: return end(unavailable(name(peer) + " closed the connection"));
    }
  }

  Error late(std::span<const Interest> interests) {
    watch_.ask();
    if (const auto verdict = watch_.await_verdict(kVerdictTime)) return end(*verdict);
    for (const Interest& interest : interests) {
      for (const Way way : {Way::kTo, Way::kFrom}) {
        const bool wanted = way == Way::kTo ? interest.send : interest.receive;
        if (!wanted || peer(interest.peer).at(way) != nullptr) continue;
        return end(deadline_exceeded(name(interest.peer) + " was not connected in time: " +
                                     connector_->problem(line(interest.peer, way))));
      }
    }
    // All ranks have come: bytes move too slowly, or not at all.
    for (const Interest& interest : interests)
      if (interest.receive)
        return end(deadline_exceeded(name(interest.peer) +
                                     " sent nothing in time: it, or a rank that it waits for, is too slow"));
    return end(
        deadline_exceeded(name(interests.front().peer) + " did not take all data in time: it is too slow"));
  }

  Error end(const Error& why) {
    leave(why);
    return why;
  }

  // Until all ranks that this one has sent to are at their end, too, or `until`.
  void await_others(Instant until) const {
    std::vector<pollfd> open;
    for (const Peer& peer : peers_)
      if (const ByteStream* const to = peer.at(Way::kTo); to != nullptr)
        open.push_back({.fd = to->fd(), .events = POLLRDHUP, .revents = 0});
    while (!open.empty()) {
      const int count = poll(open.data(), open.size(), poll_timeout_ms(until));
      if (count == 0 || (count < 0 && errno != EINTR)) return;
      std::erase_if(open, [](const pollfd& one) { return one.revents != 0; });
    }
  }

  int rank_;
  std::vector<std::string> names_;  // "rank 2 (127.0.0.5:8471)"
  milliseconds tcp_user_timeout_;
  bool share_memory_;
  int offers_left_ = kOffersMax;  // of memory, by this rank
  std::shared_ptr<AbortSignal> aborting_;
  std::unique_ptr<Connector> connector_;
  WatchLinks links_;
  std::vector<Peer> peers_;  // by rank
  std::vector<pollfd> polled_;
  std::optional<Error> end_;  // why this mesh is dead
  bool done_ = false;         // it ended in peace
  WatchThread watch_;         // last: its thread uses the streams
};

class ListeningPort final : public MeshPort {
 public:
  explicit ListeningPort(Fd listener) : listener_(std::move(listener)), port_(port_of(listener_.get())) {}
  [[nodiscard]] int port() const override { return port_; }
  void abort() noexcept override { aborting_->ring(); }

  Result<std::unique_ptr<Mesh>> connect(Options options, Deadline deadline) override {
    const MeshIdentity& self = options.identity;
    MUSTER_CHECK(listener_.valid());
    if (self.size < 2 || self.rank < 0 || self.rank >= self.size ||
        options.peers.size() != static_cast<std::size_t>(self.size))
      return invalid_argument(fmt::format("rank {} of {} with {} peer addresses is no place in a mesh",
                                          self.rank, self.size, options.peers.size()));
    std::vector<Address> peers;
    for (const std::string& peer : options.peers) {
      MUSTER_ASSIGN(const Address address, parse_address(peer));
      peers.push_back(address);
    }
    auto connector =
        std::make_unique<Connector>(std::move(listener_), Connector::Options{.identity = self,
                                                                             .key = options.key,
                                                                             .encrypt = options.encrypt,
                                                                             .peers = std::move(peers),
                                                                             .log = options.log,
                                                                             .refused = options.refused});
    MUSTER_ASSIGN(WatchLinks links, rendezvous(*connector, options, deadline));
    return std::unique_ptr<Mesh>(
        std::make_unique<TcpMesh>(std::move(connector), std::move(links), options, aborting_));
  }

 private:
  Result<WatchLinks> rendezvous(Connector& connector, const Options& options, Deadline deadline) {
    const MeshIdentity& self = options.identity;
    const Line next{.dialer = self.rank, .acceptor = (self.rank + 1) % self.size};
    const Line previous{.dialer = (self.rank + self.size - 1) % self.size, .acceptor = self.rank};
    connector.want(next);
    while (true) {
      connector.arrivals().hear();
      connector.renew(next);
      if (connector.has(next) && connector.has(previous))
        return WatchLinks{.successor = take(connector, next, options),
                          .predecessor = take(connector, previous, options)};
      if (aborting_->rung.load(std::memory_order_acquire)) return aborted("the rendezvous was aborted");
      if (steady_clock::now() >= deadline) break;
      std::array<pollfd, 2> polled{pollfd{.fd = aborting_->alarm.fd(), .events = POLLIN, .revents = 0},
                                   pollfd{.fd = connector.arrivals().fd(), .events = POLLIN, .revents = 0}};
      // Looked at again for a successor that went while the predecessor is waited for.
      const Instant look = std::min(deadline, steady_clock::now() + kLookTime);
      (void)poll(polled.data(), polled.size(), poll_timeout_ms(look));
    }
    const auto missing = [&](const char* who, int rank, const Line& line) {
      return fmt::format("{} {}: {}", who, rank_name(rank, options.peers[static_cast<std::size_t>(rank)]),
                         connector.problem(line));
    };
    std::string words;
    if (!connector.has(next)) words = missing("successor", next.acceptor, next);
    if (!connector.has(previous))
      words += (words.empty() ? "" : "; ") + missing("predecessor", previous.dialer, previous);
    return deadline_exceeded("the mesh was not complete in time: " + words);
  }

  static std::unique_ptr<ByteStream> take(Connector& connector, const Line& line, const Options& options) {
    auto stream = connector.take(line);
    if (stream != nullptr) tune_stream(stream->fd(), static_cast<int>(options.tcp_user_timeout.count()));
    return stream;
  }

  Fd listener_;
  int port_;
  std::shared_ptr<AbortSignal> aborting_ = std::make_shared<AbortSignal>();
};

}  // namespace

Result<std::unique_ptr<MeshPort>> MeshPort::listen(const std::string& ip, int port) {
  MUSTER_ASSIGN(const Address address, make_address(ip, port));
  MUSTER_ASSIGN(Fd listener, listen_on(address, kBacklog));
  return std::unique_ptr<MeshPort>(std::make_unique<ListeningPort>(std::move(listener)));
}

}  // namespace muster::worker
