#pragma once  // worker/transport/tcp_links.h: two connected sockets as the links of a ring
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "worker/transport/handshake.h"
#include "worker/transport/ring_links.h"
#include "worker/transport/sockets.h"

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

// Payload flows from predecessor to successor; the other direction of each socket carries one note at most:
// why the ring ends. Notes run against the payload, rank by rank, so that all ranks name the one that was
// lost and not the neighbour that left because of it.
class TcpLinks final : public RingLinks {
 public:
  struct Names {  // "rank 2 (127.0.0.5:8471)"
    std::string successor;
    std::string predecessor;
  };
  TcpLinks(Fd successor, Fd predecessor, Names names, int rank, int size,
           std::shared_ptr<AbortSignal> aborting);

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  Result<std::size_t> send_some(std::span<const std::byte> head, std::span<const std::byte> body) override;
  Result<std::size_t> receive_some(std::span<std::byte> head, std::span<std::byte> body) override;
  Result<Ready> wait(Sending sending, bool receiving, Deadline deadline) override;
  void abort() noexcept override { aborting_->ring(); }
  void leave(std::string_view reason) noexcept override;

 private:
  enum class Peer { kSuccessor, kPredecessor };
  [[nodiscard]] Error lost(Peer peer, int error_number);
  [[nodiscard]] Error late(Sending sending, bool receiving);
  [[nodiscard]] Error end(Code code, const std::string& reason);
  [[nodiscard]] bool read_note();  // whether a whole note has come, or none can come any more
  void await_note();

  Fd successor_;
  Fd predecessor_;
  Names names_;
  int rank_;
  int size_;
  std::shared_ptr<AbortSignal> aborting_;
  NoteBytes note_{};
  std::size_t note_filled_ = 0;
  std::string told_;  // the reason that came in a note
  std::string end_;   // why these links are dead; empty while they live
};

}  // namespace muster::worker
