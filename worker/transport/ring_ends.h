#pragma once  // worker/transport/ring_ends.h: the two connections of a rank while they come about: it dials
              // its successor and accepts its predecessor
#include <array>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "common/base/backoff.h"
#include "worker/transport/line_limit.h"
#include "worker/transport/pending_connection.h"

struct pollfd;

namespace muster::worker {

using MakeStream = std::function<std::unique_ptr<ByteStream>(Fd, Handshake::Role)>;
using MakeHandshake = std::function<Handshake()>;  // with a nonce of its own

// The way to the successor: connect, prove, be welcomed; again after a while when that fails.
class Outgoing {
 public:
  Outgoing(Address address, MakeStream stream, MakeHandshake handshake, std::function<void(Refusal)> refused,
           std::uint64_t jitter_key, Instant now);

  [[nodiscard]] bool done() const { return state_ == State::kDone; }
  [[nodiscard]] std::unique_ptr<ByteStream> take() { return connection_->take(); }
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] Instant wake_at() const { return until_; }
  [[nodiscard]] pollfd polled() const;
  void step(short revents, Instant now);

 private:
  enum class State { kPausing, kConnecting, kShaking, kDone };
  void start(Instant now);
  void connected(Instant now);
  void shake(Instant now);
  void fail(std::string problem, Instant now);

  Address address_;
  MakeStream stream_;
  MakeHandshake handshake_;
  std::function<void(Refusal)> refused_;
  Backoff backoff_;
  State state_ = State::kPausing;
  Instant until_{};
  Fd fd_;  // until it is connected
  std::optional<PendingConnection> connection_;
  std::string problem_ = "it was not reached yet";
};

// The way from the predecessor: anything may connect, who proves to be it is taken. Of those that have not,
// so many are kept from the addresses of the roster, and as many from all others: the oldest makes room for a
// newer one of its kind. So no number of other machines can keep a member out, or take more memory than that.
class Incoming {
 public:
  static constexpr std::size_t kPendingMax = 64;  // of either kind

  struct Options {
    MakeStream stream;
    MakeHandshake handshake;
    std::set<std::string> roster;  // IP addresses
    std::function<void(Refusal)> refused;
    std::function<void(const std::string&)> log;
  };
  Incoming(int listener, Options options) : listener_(listener), options_(std::move(options)) {}

  [[nodiscard]] bool done() const { return accepted_ != nullptr; }
  [[nodiscard]] std::unique_ptr<ByteStream> take() { return std::move(accepted_); }
  [[nodiscard]] const std::string& problem() const { return problem_; }
  void poll_into(std::vector<pollfd>& polled, Instant& wake) const;
  // `revents` are those of the pending connections, in the order of poll_into.
  void step(std::span<const pollfd> revents, bool arrivals, Instant now);

 private:
  struct Caller {
    PendingConnection connection;
    std::string from;
    bool of_roster = false;
    bool over = false;
  };
  using Callers = std::list<Caller>;  // oldest first

  void accept_some(Instant now);
  void add(Fd fd, const Address& address, Instant now);
  void judge(Caller& caller, Instant now);
  void take_if_free(Caller& caller, Instant now);
  void refuse(Caller& caller, Refusal refusal, const std::string& problem, Instant now);

  int listener_;
  Options options_;
  std::array<Callers, 2> callers_;  // unknown, of the roster
  std::unique_ptr<ByteStream> accepted_;
  LineLimit lines_;
  bool problem_of_roster_ = false;
  std::string problem_ = "nothing has connected yet";
};

}  // namespace muster::worker
