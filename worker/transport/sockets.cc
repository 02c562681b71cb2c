// worker/transport/sockets.cc: the system calls behind sockets.h
#include "worker/transport/sockets.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>

#include "common/base/check.h"
#include "common/base/host_port.h"

namespace muster::worker {
namespace {

void set_option(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof value);
}

}  // namespace

std::string error_text(int error_number) { return std::generic_category().message(error_number); }

Result<Address> make_address(const std::string& ip, int port) {
  const auto address = Address::of(ip, port);
  if (!address) return invalid_argument(fmt::format("\"{}\" is not an IP address", ip));
  return *address;
}

Result<Address> parse_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const Error bad = invalid_argument(fmt::format("\"{}\" is not an address of the form ip:port", text));
  if (colon == std::string::npos) return bad;
  int port = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
  if (parsed.ec != std::errc() || parsed.ptr != end || port < 1 || port > 65535) return bad;
  std::string ip = text.substr(0, colon);
  if (ip.size() > 2 && ip.front() == '[' && ip.back() == ']') ip = ip.substr(1, ip.size() - 2);
  auto address = make_address(ip, port);
  if (!address) return bad;
  return address;
}

std::string ip_of(const Address& address) {
  char text[INET6_ADDRSTRLEN] = {};
  const bool v6 = address.storage.ss_family == AF_INET6;
  const void* bytes =
      v6 ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_addr)
         : &reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_addr;
  inet_ntop(address.storage.ss_family, bytes, text, sizeof text);
  return text;
}

std::string to_string(const Address& address) { return host_port(ip_of(address), address.port()); }

Result<Fd> listen_on(const Address& address, int backlog) {
  Fd fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return resource_exhausted(fmt::format("cannot make a socket: {}", error_text(errno)));
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 ||
      ::listen(fd.get(), backlog) != 0) {
    const int failure = errno;
    const Code code = failure == EADDRINUSE ? Code::kAlreadyExists : Code::kInvalidArgument;
    return Error{
        code,
        fmt::format("cannot listen on {} for the ring: {}; end the other program or start this one with "
                    "its pod's own MUSTER_POD_IP",
                    to_string(address), error_text(failure))};
  }
  return fd;
}

int port_of(int fd) {
  Address address;
  getsockname(fd, address.any(), &address.length);
  return address.port();
}

void tune_stream(int fd, int timeout_ms) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 5);  // seconds, as the next
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 2);
  // For data and keepalive probes alike: it replaces the count of the latter.
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, timeout_ms);
}

int poll_timeout_ms(Instant until) {
  using std::chrono::milliseconds;
  const auto left = std::chrono::ceil<milliseconds>(until - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<milliseconds::rep>(left.count(), 0, 3'600'000));
}

namespace {

Fd event() {
  Fd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  MUSTER_CHECK(fd.valid());
  return fd;
}

void add_one(const Fd& event) noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written =
      write(event.get(), &one, sizeof one);  // can only fail when it is ringing
}

}  // namespace

Alarm::Alarm() : fd_(event()) {}
void Alarm::ring() noexcept { add_one(fd_); }

Bell::Bell() : fd_(event()) {}
void Bell::ring() noexcept { add_one(fd_); }
void Bell::hear() noexcept {
  std::uint64_t rung = 0;
  [[maybe_unused]] const auto count = read(fd_.get(), &rung, sizeof rung);  // can only fail when it is silent
}

}  // namespace muster::worker
