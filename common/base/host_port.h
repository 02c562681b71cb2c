#pragma once  // common/base/host_port.h: an IP address and a port as one text
#include <cstdint>
#include <string>

namespace muster {

// "10.0.0.1:8471", "[fd00::1]:8471": without brackets, programs take the port for a part of the address.
[[nodiscard]] inline std::string host_port(const std::string& ip, std::int64_t port) {
  const bool v6 = ip.find(':') != std::string::npos;
  return (v6 ? "[" + ip + "]" : ip) + ":" + std::to_string(port);
}

}  // namespace muster
