#pragma once  // worker/transport/outgoing.h: a connection that this rank makes, while it comes about
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/backoff.h"
#include "worker/transport/pending_connection.h"

struct pollfd;

namespace muster::worker {

using MakeStream = std::function<std::unique_ptr<ByteStream>(Fd, Handshake::Role)>;
using MakeHandshake = std::function<Handshake()>;  // with a nonce of its own

// Connect, prove, be welcomed; again after a while when that fails.
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

}  // namespace muster::worker
