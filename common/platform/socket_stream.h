#pragma once  // common/platform/socket_stream.h: bytes over a connected socket that does not block, plain or
              // under TLS
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "common/platform/file_descriptor.h"

namespace muster {

class SocketStream {
 public:
  enum class State {
    kMoved,
    kWantsRead,   // nothing goes on before the socket can be read
    kWantsWrite,  // or written
    kEnded,       // by the peer, or by a fault
  };
  struct Moved {
    State state = State::kEnded;
    std::size_t bytes = 0;  // of kMoved; at least one
  };
  virtual ~SocketStream() = default;

  [[nodiscard]] virtual int descriptor() const = 0;
  [[nodiscard]] virtual Moved read(std::span<char> into) = 0;
  [[nodiscard]] virtual Moved write(std::string_view bytes) = 0;
  virtual void finish() = 0;  // nothing more will be written; tells the peer so, if that does not block
  // Why it ended before a byte of the peer's came through: "plaintext", "handshake"; empty: not so.
  [[nodiscard]] virtual std::string_view fault() const = 0;
};

[[nodiscard]] std::unique_ptr<SocketStream> plain_stream(FileDescriptor connection);

}  // namespace muster
