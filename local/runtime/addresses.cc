// local/runtime/addresses.cc: claimed /24 blocks of loopback addresses
#include "local/runtime/addresses.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace muster::local {
namespace {

constexpr int kBlockTries = 64;
constexpr int kReuseAfter = 32;  // addresses that rest before one is used again
// Beyond so many in a row it is not this or that address: somebody listens on the port of all of them.
constexpr int kTries = 64;

// Bound, with a name that only one process of this network namespace can have; none if it is taken.
FileDescriptor claim(const std::string& name) {
  FileDescriptor fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fd;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());  // a leading zero: no file
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) fd.reset();
  return fd;
}

Status can_bind(const std::string& ip, int port) {
  const FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return unavailable(fmt::format("cannot make a socket: {}", std::strerror(errno)));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, ip.c_str(), &address.sin_addr);
  Status bound;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    bound = unavailable(
        fmt::format("pods cannot listen on port {}: {} on each of {} addresses of this machine ({} was the "
                    "last); end the program that listens on 0.0.0.0:{}",
                    port, std::strerror(errno), kTries, ip, port));
  }
  return bound;
}

}  // namespace

Status AddressPool::claim_block() {
  for (int i = 0; i < kBlockTries; ++i) {
    // 127.0.0.0/16 is left to the machine: 127.0.0.1, 127.0.0.53, 127.0.1.1 are in use.
    const std::string prefix = fmt::format("127.{}.{}", 1 + random_.below(254), random_.below(256));
    FileDescriptor fd = claim("muster-addresses-" + prefix);
    if (!fd.valid()) continue;
    blocks_.push_back(std::move(fd));
    for (int host = 1; host <= 254; ++host) free_.push_back(fmt::format("{}.{}", prefix, host));
    return {};
  }
  return resource_exhausted("no free block of loopback addresses (127.x.y.0/24); end other runs of muster");
}

Result<std::string> AddressPool::take() {
  Status usable;
  for (int i = 0; i < kTries; ++i) {
    if (free_.size() <= (blocks_.empty() ? 0 : kReuseAfter)) MUSTER_TRY(claim_block());
    std::string address = std::move(free_.front());
    free_.erase(free_.begin());
    usable = Status();
    for (const int port : ports_) {
      if (usable) usable = can_bind(address, port);
    }
    if (usable) return address;
    free_.push_back(std::move(address));
  }
  return usable.error();
}

void AddressPool::give_back(const std::string& address) { free_.push_back(address); }

}  // namespace muster::local
