// worker/transport/tcp_ring.cc: the rendezvous: one thread, one poll, a state for each connection under way
#include "worker/transport/tcp_ring.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <optional>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "worker/transport/sockets.h"
#include "worker/transport/tcp_links.h"

namespace muster::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kBacklog = 64;
constexpr std::size_t kStrangersMax = 32;     // connections that have not greeted yet
constexpr milliseconds kGreetingTime{5'000};  // for a connection to say who it is
constexpr milliseconds kConnectTime{3'000};   // for one attempt to reach the successor
constexpr BackoffOptions kRetry{
    .first = milliseconds(20), .max = milliseconds(1'000), .factor = 1.7, .jitter = 0.3};

std::string name_of(int rank, const std::string& address) {
  return fmt::format("rank {} ({})", rank, address);
}

// The other side has closed the connection, and all that it sent is read.
bool hung_up(const Fd& fd) {
  std::byte next{};
  const ssize_t count = recv(fd.get(), &next, 1, MSG_PEEK | MSG_DONTWAIT);
  return count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR);
}

// The way to the successor: connect, greet, hear its answer; again after a while when that fails.
class Outgoing {
 public:
  Outgoing(Address address, const RingIdentity& identity)
      : address_(address),
        hello_(encode_hello(identity, 0)),
        backoff_(kRetry, hash_key(static_cast<std::uint64_t>(identity.rank),
                                  static_cast<std::uint64_t>(identity.size))) {
    start(steady_clock::now());
  }

  [[nodiscard]] bool done() const { return state_ == State::kDone; }
  [[nodiscard]] Fd take() { return std::move(fd_); }
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] Instant wake_at() const { return until_; }
  [[nodiscard]] pollfd polled() const {
    const short events = state_ == State::kGreeted ? POLLIN : POLLOUT;
    return {.fd = state_ == State::kPausing || done() ? -1 : fd_.get(), .events = events, .revents = 0};
  }

  void step(short revents, Instant now) {
    if (done()) return;
    if (state_ == State::kPausing) {
      if (now >= until_) start(now);
    } else if (revents != 0) {
      advance(now);
    } else if (now >= until_) {
      fail("it does not answer", now);
    }
  }

 private:
  enum class State { kPausing, kConnecting, kGreeted, kDone };

  void start(Instant now) {
    fd_ = Fd(socket(address_.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    filled_ = 0;
    if (!fd_.valid()) return fail(error_text(errno), now);
    state_ = State::kConnecting;
    until_ = now + kConnectTime;
    const int rc =
        ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address_.storage), address_.length);
    if (rc != 0 && errno != EINPROGRESS) fail(error_text(errno), now);
  }

  void advance(Instant now) {
    if (state_ == State::kConnecting) {
      int failure = 0;
      socklen_t length = sizeof failure;
      getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &failure, &length);
      if (failure != 0) return fail(error_text(failure), now);
      // A fresh socket takes these few bytes whole.
      const ssize_t sent = send(fd_.get(), hello_.data(), hello_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent != static_cast<ssize_t>(hello_.size())) return fail("it hung up", now);
      state_ = State::kGreeted;
      until_ = now + kGreetingTime;
      return;
    }
    const ssize_t count = recv(fd_.get(), answer_.data() + filled_, answer_.size() - filled_, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return fail("it hung up", now);
    filled_ += static_cast<std::size_t>(count);
    if (filled_ < answer_.size()) return;
    const auto note = decode_note(answer_);
    if (!note) return fail("something else than a worker answers there", now);
    if (note->kind != Note::Kind::kWelcome) return fail("it refused: " + note->reason.message, now);
    state_ = State::kDone;
  }

  void fail(std::string problem, Instant now) {
    problem_ = std::move(problem);
    fd_.reset();
    state_ = State::kPausing;
    until_ = now + backoff_.next();
  }

  Address address_;
  HelloBytes hello_;
  Backoff backoff_;
  State state_ = State::kPausing;
  Instant until_{};
  Fd fd_;
  NoteBytes answer_{};
  std::size_t filled_ = 0;
  std::string problem_ = "it was not reached yet";
};

struct Stranger {  // a connection that has not said yet who it is
  Fd fd;
  std::string from;
  Instant until;
  HelloBytes hello{};
  std::size_t filled = 0;
  bool closing = false;
};

// The way from the predecessor: anything may connect, one fitting greeting is taken.
class Incoming {
 public:
  Incoming(int listener, const RingIdentity& self, const std::function<void(const std::string&)>& log)
      : listener_(listener), self_(self), log_(log) {}

  [[nodiscard]] bool done() const { return accepted_.valid(); }
  [[nodiscard]] Fd take() { return std::move(accepted_); }
  [[nodiscard]] const std::string& problem() const { return problem_; }

  void poll_into(std::vector<pollfd>& polled, Instant& wake) const {
    for (const Stranger& stranger : strangers_) {
      polled.push_back({.fd = stranger.fd.get(), .events = POLLIN, .revents = 0});
      wake = std::min(wake, stranger.until);
    }
  }

  // `revents` are those of the strangers, in the order of poll_into.
  void step(std::span<const pollfd> revents, bool arrivals, Instant now) {
    std::size_t index = 0;
    for (Stranger& stranger : strangers_) {
      if (revents[index++].revents != 0) {
        read(stranger);
      } else if (now >= stranger.until) {
        refuse(stranger, "it did not say who it is");
      }
    }
    std::erase_if(strangers_, [](const Stranger& stranger) { return stranger.closing; });
    if (arrivals) accept_all(now);
  }

 private:
  void accept_all(Instant now) {
    while (true) {
      Address address;
      address.length = sizeof address.storage;
      Fd fd(accept4(listener_, reinterpret_cast<sockaddr*>(&address.storage), &address.length,
                    SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd.valid()) return;
      if (strangers_.size() >= kStrangersMax) strangers_.pop_front();  // the one that has been silent longest
      strangers_.push_back({.fd = std::move(fd), .from = to_string(address), .until = now + kGreetingTime});
    }
  }

  void read(Stranger& stranger) {
    const ssize_t count = recv(stranger.fd.get(), stranger.hello.data() + stranger.filled,
                               stranger.hello.size() - stranger.filled, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return refuse(stranger, "it hung up");
    stranger.filled += static_cast<std::size_t>(count);
    if (stranger.filled < stranger.hello.size()) return;
    if (const Status fits = check_hello(stranger.hello, self_); !fits)
      return refuse(stranger, fits.error().message);
    // A predecessor that waited too long for its welcome has gone and comes again.
    if (hung_up(stranger.fd)) return refuse(stranger, "it hung up");
    if (accepted_.valid() && !hung_up(accepted_)) return refuse(stranger, "its place is taken");
    const NoteBytes welcome = encode_note({.kind = Note::Kind::kWelcome});
    if (!tell(stranger, welcome)) return refuse(stranger, "it hung up");
    accepted_ = std::move(stranger.fd);
    stranger.closing = true;
  }

  void refuse(Stranger& stranger, const std::string& reason) {
    tell(stranger, encode_note({.kind = Note::Kind::kRefused, .reason = failed_precondition(reason)}));
    shutdown(stranger.fd.get(), SHUT_WR);
    stranger.closing = true;
    problem_ = fmt::format("{} was refused: {}", stranger.from, reason);
    if (log_) log_("ring: " + problem_);
  }

  static bool tell(const Stranger& stranger, const NoteBytes& note) {
    return send(stranger.fd.get(), note.data(), note.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
           static_cast<ssize_t>(note.size());
  }

  int listener_;
  RingIdentity self_;
  const std::function<void(const std::string&)>& log_;
  std::list<Stranger> strangers_;
  Fd accepted_;
  std::string problem_ = "nothing has connected yet";
};

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
    const auto peer = [&](int rank) { return name_of(rank, options.peers[static_cast<std::size_t>(rank)]); };
    MUSTER_ASSIGN(const Address address, parse_address(options.peers[static_cast<std::size_t>(next)]));
    Outgoing outgoing(address, self);
    Incoming incoming(listener_.get(), self, options.log);
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
    Fd successor = outgoing.take();
    Fd predecessor = incoming.take();
    tune_stream(successor.get(), static_cast<int>(options.peer_timeout.count()));
    tune_stream(predecessor.get(), static_cast<int>(options.peer_timeout.count()));
    return std::unique_ptr<RingLinks>(std::make_unique<TcpLinks>(
        std::move(successor), std::move(predecessor),
        TcpLinks::Names{.self = peer(self.rank), .successor = peer(next), .predecessor = peer(previous)},
        self.rank, self.size, aborting_));
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
