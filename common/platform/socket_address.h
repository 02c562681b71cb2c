#pragma once  // common/platform/socket_address.h: an IP address and a port, as the kernel takes them
#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>
#include <string>

namespace muster {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);  // room for any

  // IPv4 or IPv6, as text. Nothing for anything else: names are not looked up.
  [[nodiscard]] static std::optional<SocketAddress> of(const std::string& ip, int port);
  [[nodiscard]] sockaddr* any() { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] int family() const { return storage.ss_family; }
  [[nodiscard]] std::string ip() const;  // one that is mapped into IPv6 as IPv4
  [[nodiscard]] int port() const;
};

}  // namespace muster
