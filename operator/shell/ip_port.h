#pragma once  // operator/shell/ip_port.h: addresses on the operator's command line
#include <string>

#include "common/base/result.h"

namespace muster::op {

struct IpPort {
  std::string ip;
  int port = 0;

  [[nodiscard]] bool any() const { return ip == "0.0.0.0" || ip == "::"; }  // all addresses of the machine
};
// "ip:port", ":port" (all addresses) or "[ipv6]:port"; `flag`: of which, for messages. Errors:
// kInvalidArgument.
[[nodiscard]] Result<IpPort> parse_ip_port(const std::string& flag, const std::string& text);

}  // namespace muster::op
