#pragma once  // worker/transport/tcp_links.h: two proven connections as the links of a ring
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "worker/transport/byte_stream.h"
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

// Payload flows from predecessor to successor; the other direction of each stream carries the notes of the
// watch, whose verdict every error repeats.
class TcpLinks final : public RingLinks {
 public:
  struct Names {  // "rank 2 (127.0.0.5:8471)"
    std::string self;
    std::string successor;
    std::string predecessor;
  };
  TcpLinks(std::unique_ptr<ByteStream> successor, std::unique_ptr<ByteStream> predecessor, Names names,
           int rank, int size, std::chrono::milliseconds peer_timeout, std::shared_ptr<AbortSignal> aborting);
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
  // The bytes that a call moved: 0 when it would only block, else the end.
  [[nodiscard]] Result<std::size_t> judge(Peer peer, const Moved& moved);
  [[nodiscard]] Error late(bool receiving);
  [[nodiscard]] Error end(const Error& why);

  std::unique_ptr<ByteStream> successor_;
  std::unique_ptr<ByteStream> predecessor_;
  Names names_;
  int rank_;
  int size_;
  std::shared_ptr<AbortSignal> aborting_;
  std::optional<Error> end_;  // why these links are dead
  bool done_ = false;         // they ended in peace
  WatchThread watch_;         // last: its thread uses the streams
};

}  // namespace muster::worker
