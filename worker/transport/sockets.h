#pragma once  // worker/transport/sockets.h: sockets and their addresses, nothing more
#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/platform/file_descriptor.h"
#include "common/platform/socket_address.h"

namespace muster::worker {

using Fd = FileDescriptor;

using Address = SocketAddress;

// "127.0.0.1:8471", "[::1]:8471". Error: kInvalidArgument names the text.
[[nodiscard]] Result<Address> parse_address(const std::string& text);
[[nodiscard]] Result<Address> make_address(const std::string& ip, int port);
[[nodiscard]] std::string to_string(const Address& address);
[[nodiscard]] std::string ip_of(const Address& address);

[[nodiscard]] std::string error_text(int error_number);

// What is left until then, rounded up, as poll() takes it.
[[nodiscard]] int poll_timeout_ms(Instant until);

// A non-blocking TCP socket that listens. Errors as MeshPort::listen.
[[nodiscard]] Result<Fd> listen_on(const Address& address, int backlog);
[[nodiscard]] int port_of(int fd);
// No delay; the connection breaks when data or keepalive probes are unacknowledged for `timeout_ms`, or when
// the other side takes no data for so long.
void tune_stream(int fd, int timeout_ms);

// Wakes polls from any thread, for good.
class Alarm {
 public:
  Alarm();
  void ring() noexcept;
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  Fd fd_;
};

// Wakes polls from any thread until it is heard.
class Bell {
 public:
  Bell();
  void ring() noexcept;
  void hear() noexcept;  // it is silent again
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  Fd fd_;
};

}  // namespace muster::worker
