#pragma once  // worker/transport/pending_connection.h: a connection whose other end has not proved itself yet
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "worker/transport/byte_stream.h"
#include "worker/transport/handshake.h"

namespace muster::worker {

inline constexpr std::chrono::milliseconds kHandshakeTime{5'000};  // of the whole handshake

// Moves the bytes of a Handshake, and never one more: what follows belongs to whoever takes the stream.
class PendingConnection {
 public:
  enum class State { kRunning, kProven, kRefused, kRefusedByPeer, kClosed };

  PendingConnection(std::unique_ptr<ByteStream> stream, Handshake handshake, Instant until);

  void step();  // when the socket is ready
  [[nodiscard]] int fd() const { return stream_->fd(); }
  [[nodiscard]] short events() const { return events_; }
  [[nodiscard]] Instant until() const { return until_; }

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const Link& link() const { return handshake_.link(); }  // of one that is proven
  [[nodiscard]] Refusal refusal() const;                                // of one that is refused or closed
  [[nodiscard]] std::string problem() const;                            // for people
  // The acceptor's last word to a caller that is proven. False: the caller is gone.
  [[nodiscard]] bool welcome();
  void refuse(Refusal refusal);  // tells the peer, if bytes can be sent yet, and half-closes
  [[nodiscard]] std::unique_ptr<ByteStream> take() { return std::move(stream_); }

 private:
  [[nodiscard]] bool open();
  [[nodiscard]] bool say(std::span<const std::byte> message);
  void hear();

  std::unique_ptr<ByteStream> stream_;
  Handshake handshake_;
  Instant until_;
  short events_;
  bool open_ = false;
  bool tls_failed_ = false;
  State state_ = State::kRunning;
  std::vector<std::byte> message_;  // that comes in
  std::size_t filled_ = 0;
  std::vector<std::byte> welcome_;
};

[[nodiscard]] Nonce random_nonce();
[[nodiscard]] bool hung_up(int fd);  // the other side has closed, and all that it sent is read

}  // namespace muster::worker
