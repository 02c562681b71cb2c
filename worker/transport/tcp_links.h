#pragma once  // worker/transport/tcp_links.h: two connected sockets as the links of a ring
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "worker/transport/handshake.h"
#include "worker/transport/ring_links.h"
#include "worker/transport/sockets.h"
#include "worker/transport/watch_thread.h"

namespace muster::worker {

// What connect() and the links it made share: one abort for both.
struct AbortSignal {
  Alarm alarm;
  std::atomic<bool> rung = false;

  void ring() noexcept {
    rung.store(true, std::memory_order_release);
    alarm.ring();
  }
};

// Payload flows from predecessor to successor; the other direction of each socket carries the notes of the
// watch, whose verdict every error repeats.
class TcpLinks final : public RingLinks {
 public:
  struct Names {  // "rank 2 (127.0.0.5:8471)"
    std::string self;
    std::string successor;
    std::string predecessor;
  };
  TcpLinks(Fd successor, Fd predecessor, Names names, int rank, int size,
           std::shared_ptr<AbortSignal> aborting);
  ~TcpLinks() override;

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  Result<std::size_t> send_some(std::span<const std::byte> head, std::span<const std::byte> body) override;
  Result<std::size_t> receive_some(std::span<std::byte> head, std::span<std::byte> body) override;
  Result<Ready> wait(bool sending, bool receiving, Deadline deadline) override;
  void abort() noexcept override { aborting_->ring(); }
  void leave(const Status& why) noexcept override;

 private:
  enum class Peer { kSuccessor, kPredecessor };
  [[nodiscard]] Status check_open() const;
  // What a call does with no bytes moved: 0 when it would only block, else the end.
  [[nodiscard]] Result<std::size_t> nothing_moved(Peer peer, ssize_t count);
  [[nodiscard]] Error late(bool receiving);
  [[nodiscard]] Error end(const Error& why);

  Fd successor_;
  Fd predecessor_;
  Names names_;
  int rank_;
  int size_;
  std::shared_ptr<AbortSignal> aborting_;
  std::optional<Error> end_;  // why these links are dead
  bool done_ = false;         // they ended in peace
  WatchThread watch_;         // last: its thread uses the sockets
};

}  // namespace muster::worker
