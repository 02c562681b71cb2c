#pragma once  // common/program/channel.h: frames over a Unix socket, each wait with its deadline
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/platform/file_descriptor.h"
#include "common/program/protocol.h"

namespace muster::program {

// A socket in `path`'s folder, however long the path is. Errors name the path: kUnavailable: nobody listens
// there (yet); kPermissionDenied, kInternal.
[[nodiscard]] Result<FileDescriptor> connect_to(const std::string& path);
// Takes the place of a socket that an earlier process left there. Whoever may reach the folder may connect.
[[nodiscard]] Result<FileDescriptor> listen_at(const std::string& path);

// Of one connection; sending and receiving may be on two threads. After an error it is of no more use.
class Channel {
 public:
  explicit Channel(FileDescriptor socket);

  // Errors: kDeadlineExceeded; kUnavailable: the peer has closed it.
  [[nodiscard]] Status send(Frame frame, std::span<const std::byte> body, Deadline deadline,
                            int descriptor = -1);
  // As long as little waits to be read, and the socket takes it at once; else nothing is sent.
  void offer(const Frame& frame) noexcept;
  // The next frame. nullopt: none has begun until `quiet`. Errors: those of decode and send;
  // kDeadlineExceeded: one that has begun has not come whole within kFrameTime.
  [[nodiscard]] Result<std::optional<Frame>> receive(Deadline quiet);
  // Its body, which has been promised, in steps of memory that has really come.
  [[nodiscard]] Status receive_body(std::uint64_t bytes, std::vector<std::byte>& body, Deadline deadline);
  // Of an End that waits to be read, behind whatever small frames: its exit code and words. It stays there.
  // For a thread beside the one that receives.
  struct End {
    std::int64_t exit_code = 0;
    std::string words;
  };
  [[nodiscard]] std::optional<End> waiting_end() const;
  [[nodiscard]] FileDescriptor take_descriptor() {
    return std::move(received_);
  }                           // that came with the last frame
  void shut_down() noexcept;  // any thread: both ends see the end

  static constexpr std::chrono::seconds kFrameTime{30};

 private:
  [[nodiscard]] Status read(std::span<std::byte> to, Deadline deadline);
  FileDescriptor socket_;
  FileDescriptor received_;
};

}  // namespace muster::program
