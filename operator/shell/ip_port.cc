// operator/shell/ip_port.cc: text to address and port
#include "operator/shell/ip_port.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

namespace muster::op {

Result<IpPort> parse_ip_port(const std::string& flag, const std::string& text) {
  const auto colon = text.rfind(':');
  int port = -1;
  if (colon != std::string::npos) {
    const std::string_view digits = std::string_view(text).substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size()) port = -1;
  }
  if (port < 0 || port > 65535) {
    return invalid_argument(
        fmt::format("{} {} is not ip:port; write for example 127.0.0.1:8080", flag, text));
  }
  std::string ip = colon == 0 ? "0.0.0.0" : text.substr(0, colon);
  if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  return IpPort{std::move(ip), port};
}

}  // namespace muster::op
