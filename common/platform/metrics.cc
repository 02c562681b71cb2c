// common/platform/metrics.cc: /metrics, /healthz and /readyz from one thread and one poll. Its own server,
// because civetweb's threads have 100 KiB of stack, and libtorch's thread-local variables alone need more
#include "common/platform/metrics.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <prometheus/text_serializer.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <list>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/host_port.h"
#include "common/platform/file_descriptor.h"
#include "common/platform/process_metrics.h"

namespace muster {
namespace {

constexpr std::size_t kConnectionsMax = 64;
constexpr std::size_t kRequestBytesMax = 16 * 1024;
constexpr std::chrono::seconds kHeadTime{2};  // kubelet and Prometheus send theirs at once
constexpr std::chrono::seconds kAnswerTime{10};
constexpr int kAcceptsAtOnce = 16;  // so that a flood of connections does not hold up those that are here
constexpr std::chrono::milliseconds kAcceptPause{100};  // when the process has no descriptor left

struct Connection {
  FileDescriptor fd{};
  Deadline until{};
  std::string request{};
  std::string answer{};
  std::size_t sent = 0;
  bool over = false;
};

class PollServer final : public MetricsServer {
 public:
  PollServer(std::shared_ptr<prometheus::Registry> registry, Options options)
      : registry_(std::move(registry)), options_(std::move(options)) {}
  ~PollServer() override {
    if (thread_.joinable()) {
      const std::uint64_t one = 1;
      [[maybe_unused]] const auto written = write(wake_.get(), &one, sizeof one);
      thread_.join();
    }
  }

  Status listen() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(options_.port));
    sockaddr_in6 address6{};
    address6.sin6_family = AF_INET6;
    address6.sin6_port = address.sin_port;
    const bool v6 = inet_pton(AF_INET6, options_.ip.c_str(), &address6.sin6_addr) == 1;
    if (!v6 && inet_pton(AF_INET, options_.ip.c_str(), &address.sin_addr) != 1)
      return invalid_argument(fmt::format("\"{}\" is not an IP address to serve /metrics on", options_.ip));
    auto* generic = v6 ? reinterpret_cast<sockaddr*>(&address6) : reinterpret_cast<sockaddr*>(&address);
    socklen_t length = v6 ? sizeof address6 : sizeof address;
    listener_ = FileDescriptor(socket(generic->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    wake_ = FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    const int one = 1;
    setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    const int zero = 0;
    if (v6) setsockopt(listener_.get(), IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(listener_.get(), generic, length) != 0 || ::listen(listener_.get(), SOMAXCONN) != 0) {
      return already_exists(
          fmt::format("cannot listen on {} for /metrics: the port is in use or the address is not this "
                      "machine's; end the other program or choose another port",
                      host_port(options_.ip, options_.port)));
    }
    getsockname(listener_.get(), generic, &length);
    port_ = ntohs(v6 ? address6.sin6_port : address.sin_port);
    thread_ = std::thread([this] { serve(); });
    return {};
  }

  [[nodiscard]] int port() const override { return port_; }

 private:
  void serve() {
    while (true) {
      const Deadline before = std::chrono::steady_clock::now();
      std::vector<pollfd> polled{
          {.fd = wake_.get(), .events = POLLIN, .revents = 0},
          {.fd = before < accept_after_ ? -1 : listener_.get(), .events = POLLIN, .revents = 0}};
      for (const Connection& connection : connections_) {
        const short events = connection.answer.empty() ? POLLIN : POLLOUT;
        polled.push_back({.fd = connection.fd.get(), .events = events, .revents = 0});
      }
      poll(polled.data(), polled.size(), wait_ms(before));
      if (polled[0].revents != 0) break;
      const Deadline now = std::chrono::steady_clock::now();
      std::size_t index = 2;
      for (Connection& connection : connections_) {
        if (polled[index++].revents != 0) advance(connection);
        if (now >= connection.until) connection.over = true;
      }
      drop_ended();
      if (polled[1].revents != 0) accept_some(now);
    }
    connections_.clear();
  }

  // Until the first deadline of a connection, or the end of a pause.
  [[nodiscard]] int wait_ms(Deadline now) const {
    if (connections_.empty() && now >= accept_after_) return -1;
    Deadline next = now < accept_after_ ? accept_after_ : Deadline::max();
    for (const Connection& connection : connections_) next = std::min(next, connection.until);
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(std::max(next, now) - now).count());
  }

  void accept_some(Deadline now) {
    for (int i = 0; i < kAcceptsAtOnce; ++i) {
      FileDescriptor fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd.valid() && (errno == ECONNABORTED || errno == EINTR)) continue;
      if (!fd.valid()) {
        if (errno != EAGAIN) accept_after_ = now + kAcceptPause;
        return;
      }
      if (connections_.size() >= kConnectionsMax) drop_oldest();
      Connection& connection = connections_.emplace_back();
      connection.fd = std::move(fd);
      connection.until = now + kHeadTime;
      advance(connection);  // most have sent their request by now
      drop_ended();
    }
  }

  // Those whose request is here come last: their answer is on its way.
  void drop_oldest() {
    const auto stranger = std::find_if(connections_.begin(), connections_.end(),
                                       [](const Connection& each) { return each.answer.empty(); });
    (stranger == connections_.end() ? connections_.front() : *stranger).over = true;
    drop_ended();
  }

  void drop_ended() {
    std::erase_if(connections_, [](const Connection& connection) { return connection.over; });
  }

  void advance(Connection& connection) {
    if (connection.answer.empty()) {
      char bytes[2048];
      const ssize_t count = recv(connection.fd.get(), bytes, sizeof bytes, 0);
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (count > 0) connection.request.append(bytes, static_cast<std::size_t>(count));
      connection.over = count <= 0 || connection.request.size() > kRequestBytesMax;
      if (connection.over || connection.request.find("\r\n\r\n") == std::string::npos) return;
      connection.answer = answer(connection.request);
      connection.until = std::chrono::steady_clock::now() + kAnswerTime;
    }
    const ssize_t count = send(connection.fd.get(), connection.answer.data() + connection.sent,
                               connection.answer.size() - connection.sent, MSG_NOSIGNAL);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    connection.sent += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
    connection.over = count < 0 || connection.sent == connection.answer.size();
  }

  [[nodiscard]] std::string answer(std::string_view request) const {
    const std::string_view method = request.substr(0, request.find(' '));
    std::string_view path = request.substr(std::min(method.size() + 1, request.size()));
    path = path.substr(0, path.find_first_of(" ?\r"));
    if (method != "GET" && method != "HEAD")
      return http(405, "Method Not Allowed", "text/plain", "only GET\n");
    if (path == "/metrics") {
      return http(200, "OK", "text/plain; version=0.0.4; charset=utf-8",
                  prometheus::TextSerializer().Serialize(families()));
    }
    if (path == "/healthz") return state(options_.healthy);
    if (path == "/readyz") return state(options_.ready);
    return http(404, "Not Found", "text/plain", "there are /metrics, /healthz and /readyz\n");
  }
  [[nodiscard]] std::vector<prometheus::MetricFamily> families() const {
    std::vector<prometheus::MetricFamily> all = registry_->Collect();
    std::ranges::move(process_families(), std::back_inserter(all));
    if (options_.collect) std::ranges::move(options_.collect(), std::back_inserter(all));
    return all;
  }
  static std::string state(const std::function<Status()>& check) {
    const Status status = check ? check() : Status();
    return status ? http(200, "OK", "text/plain", "ok\n")
                  : http(503, "Service Unavailable", "text/plain", status.error().message + "\n");
  }
  static std::string http(int code, std::string_view reason, std::string_view type, const std::string& body) {
    return fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}", code,
        reason, type, body.size(), body);
  }

  std::shared_ptr<prometheus::Registry> registry_;
  Options options_;
  FileDescriptor listener_;
  FileDescriptor wake_;
  int port_ = 0;
  std::list<Connection> connections_;  // of the thread, the oldest first
  Deadline accept_after_{};            // of the thread
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<MetricsServer>> MetricsServer::start(std::shared_ptr<prometheus::Registry> registry,
                                                            Options options) {
  auto server = std::make_unique<PollServer>(std::move(registry), std::move(options));
  MUSTER_TRY(server->listen());
  return std::unique_ptr<MetricsServer>(std::move(server));
}

}  // namespace muster
