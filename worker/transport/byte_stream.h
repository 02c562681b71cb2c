#pragma once  // worker/transport/byte_stream.h: the bytes of one data connection, as they are or encrypted
#include <poll.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "worker/transport/sockets.h"

namespace muster::worker {

// What a call has moved. Without an end, 0 bytes say that it would block.
struct Moved {
  enum class End {
    kNone,
    kClosed,
    kUnreachable,  // the other side does not answer any more
    kForged,       // what came was not written by the other side
  };
  std::size_t bytes = 0;
  End end = End::kNone;
};

// Never blocks. One thread may send while another receives.
class ByteStream {
 public:
  enum class Opening { kDone, kReading, kWriting, kFailed };

  enum class Way : std::uint8_t { kSend, kReceive };

  explicit ByteStream(Fd fd) : fd_(std::move(fd)) {}
  virtual ~ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] Fd take_fd() { return std::move(fd_); }  // leaves nothing of use
  // Makes it ready for bytes; to be called again when the socket can be read or written, as it says.
  [[nodiscard]] virtual Opening open() = 0;
  // `head` before `body`. A call after one that did not move all must begin with the bytes that were left.
  [[nodiscard]] virtual Moved send(std::span<const std::byte> head, std::span<const std::byte> body) = 0;
  [[nodiscard]] virtual Moved receive(std::span<std::byte> head, std::span<std::byte> body) = 0;
  // Bytes may move at once that poll() does not see: to be tried before the socket is waited for.
  [[nodiscard]] virtual bool can_move(Way way) const = 0;
  // The same, before a wait: when it says no, poll() will see what comes after this, by the events that it
  // names.
  [[nodiscard]] virtual bool can_move_before_wait(Way way) { return can_move(way); }
  [[nodiscard]] virtual bool in_memory() const { return false; }  // bytes do not pass the socket
  [[nodiscard]] virtual short events(Way way) const { return way == Way::kSend ? POLLOUT : POLLIN; }
  void end_sending() noexcept { shutdown(fd(), SHUT_WR); }

 private:
  Fd fd_;
};

// As they are: one system call a call.
class PlainStream : public ByteStream {
 public:
  using ByteStream::ByteStream;
  Opening open() override { return Opening::kDone; }
  Moved send(std::span<const std::byte> head, std::span<const std::byte> body) override;
  Moved receive(std::span<std::byte> head, std::span<std::byte> body) override;
  [[nodiscard]] bool can_move(Way /*way*/) const override { return false; }
};

[[nodiscard]] Moved::End end_of(int error_number);  // of a failed send or receive; kNone: it would block

}  // namespace muster::worker
