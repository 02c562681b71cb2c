// common/platform/http_server.cc: connections in one poll. Its own server, because civetweb's threads have
// 100 KiB of stack, and libtorch's thread-local variables alone need more
#include "common/platform/http_server.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <list>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/host_port.h"
#include "common/platform/mutex.h"
#include "common/platform/socket_address.h"

namespace muster {
namespace {

constexpr std::size_t kHeadBytesMax = 16 * 1024;
// Of a body that is too long: it is read and thrown away, for a client that is still sending when its
// connection is closed does not see the answer.
constexpr std::size_t kExcessBytesMax = 1024 * 1024;
constexpr int kAcceptsAtOnce = 16;  // so that a flood of connections does not hold up those that are here
constexpr std::chrono::milliseconds kAcceptPause{100};  // when the process has no descriptor left

struct Connection {
  enum class Phase { kHead, kBody, kExcess, kHandling, kAnswering };
  std::uint64_t id = 0;
  std::unique_ptr<SocketStream> stream{};
  std::string ip{};
  Deadline until{};
  Phase phase = Phase::kHead;
  short events = POLLIN;  // what it waits for
  bool heard = false;
  std::string in{};        // of the head, then of the body
  HttpRequest request{};   // from its head on
  std::size_t wanted = 0;  // bytes of the body, or of the excess
  std::string out{};
  std::size_t sent = 0;
  bool over = false;

  [[nodiscard]] bool asks() const { return phase < Phase::kHandling; }
};

// Where answers come in, from any thread.
struct Mailbox {
  FileDescriptor wake{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  Mutex mutex;
  std::vector<std::pair<std::uint64_t, HttpAnswer>> answers MUSTER_GUARDED_BY(mutex);

  void put(std::uint64_t id, HttpAnswer answer) MUSTER_EXCLUDES(mutex) {
    {
      const MutexLock lock(mutex);
      answers.emplace_back(id, std::move(answer));
    }
    ring();
  }
  void ring() const { eventfd_write(wake.get(), 1); }
  std::vector<std::pair<std::uint64_t, HttpAnswer>> take() MUSTER_EXCLUDES(mutex) {
    eventfd_t count = 0;
    eventfd_read(wake.get(), &count);
    const MutexLock lock(mutex);
    return std::exchange(answers, {});
  }
};

class PollServer final : public HttpServer {
 public:
  explicit PollServer(Options options) : options_(std::move(options)) {}
  ~PollServer() override {
    if (!thread_.joinable()) return;
    stopping_ = true;
    mailbox_->ring();
    thread_.join();
  }

  Status listen() {
    auto address = SocketAddress::of(options_.ip, options_.port);
    if (!address)
      return invalid_argument("\"" + options_.ip + "\" is not an IP address to serve " + options_.purpose +
                              " on");
    listener_ = FileDescriptor(socket(address->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int one = 1;
    setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    const int zero = 0;
    if (address->family() == AF_INET6)
      setsockopt(listener_.get(), IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(listener_.get(), address->any(), address->length) != 0 ||
        ::listen(listener_.get(), SOMAXCONN) != 0) {
      return already_exists("cannot listen on " + host_port(options_.ip, options_.port) + " for " +
                            options_.purpose +
                            ": the port is in use or the address is not this machine's; end the other "
                            "program or choose another port");
    }
    getsockname(listener_.get(), address->any(), &address->length);
    port_ = address->port();
    thread_ = std::thread([this] { serve(); });
    return {};
  }

  [[nodiscard]] int port() const override { return port_; }

 private:
  using Phase = Connection::Phase;

  void serve() {
    while (true) {
      const Deadline before = std::chrono::steady_clock::now();
      std::vector<pollfd> polled{
          {.fd = mailbox_->wake.get(), .events = POLLIN, .revents = 0},
          {.fd = before < accept_after_ ? -1 : listener_.get(), .events = POLLIN, .revents = 0}};
      for (const Connection& connection : connections_)
        polled.push_back({.fd = connection.stream->descriptor(), .events = connection.events, .revents = 0});
      poll(polled.data(), polled.size(), wait_ms(before));
      if (stopping_) break;
      const Deadline now = std::chrono::steady_clock::now();
      std::size_t index = 2;
      for (Connection& connection : connections_) {
        if (polled[index++].revents != 0) advance(connection);
        if (!connection.over && now >= connection.until)
          end(connection, connection.asks() ? (connection.heard ? "late" : "silent") : "");
      }
      if (polled[0].revents != 0) deliver();
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
      SocketAddress peer;
      FileDescriptor fd(accept4(listener_.get(), peer.any(), &peer.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd.valid() && (errno == ECONNABORTED || errno == EINTR)) continue;
      if (!fd.valid()) {
        if (errno != EAGAIN) accept_after_ = now + kAcceptPause;
        return;
      }
      auto stream = options_.stream ? options_.stream(std::move(fd)) : plain_stream(std::move(fd));
      if (stream == nullptr) continue;
      if (connections_.size() >= options_.connections_max) drop_one();
      Connection& connection = connections_.emplace_back();
      connection.id = ++last_id_;
      connection.stream = std::move(stream);
      connection.ip = peer.ip();
      connection.until = now + options_.request_time;
      if (!options_.stream) advance(connection);  // most have sent their request by now
      drop_ended();
    }
  }

  // The oldest of the address that has most, whatever it is at: who asks and does not read what it is
  // answered fills the port as well as who says nothing.
  void drop_one() {
    std::map<std::string_view, int> counts;
    int most = 0;
    for (const Connection& each : connections_) most = std::max(most, ++counts[each.ip]);
    const auto one =
        std::ranges::find_if(connections_, [&](const Connection& each) { return counts[each.ip] == most; });
    end(*one, "crowded");
    drop_ended();
  }

  void drop_ended() {
    std::erase_if(connections_, [](const Connection& connection) { return connection.over; });
  }

  void end(Connection& connection, std::string_view refused) const {
    connection.over = true;
    refuse(refused);
  }
  void refuse(std::string_view reason) const {
    if (!reason.empty() && options_.refused) options_.refused(reason);
  }

  void advance(Connection& connection) {
    if (connection.phase == Phase::kHandling) return end(connection, "");  // the client is gone
    while (connection.asks() && !connection.over)
      if (!receive(connection)) return;
    if (connection.phase == Phase::kAnswering && !connection.over) send_some(connection);
  }

  // False: nothing goes on before the socket says so.
  bool receive(Connection& connection) {
    char bytes[4096];
    const auto moved = connection.stream->read(bytes);
    connection.heard = true;
    if (moved.state == SocketStream::State::kMoved) {
      connection.in.append(bytes, moved.bytes);
      digest(connection);
      return true;
    }
    if (moved.state == SocketStream::State::kEnded) {
      const std::string_view fault = connection.stream->fault();
      end(connection, !fault.empty() ? fault : connection.in.empty() ? "silent" : "late");
      return false;
    }
    connection.events = moved.state == SocketStream::State::kWantsRead ? POLLIN : POLLOUT;
    return false;
  }

  void digest(Connection& connection) {
    if (connection.phase == Phase::kHead) {
      const auto head = connection.in.find("\r\n\r\n");
      if (head == std::string::npos) {
        if (connection.in.size() > kHeadBytesMax) end(connection, "oversized");
        return;
      }
      auto request = parse_head(std::string_view(connection.in).substr(0, head));
      connection.in.erase(0, head + 4);
      if (!request) return turn_away(connection, "malformed", 400, request.error().message, 0);
      connection.request = *std::move(request);
      if (options_.body_bytes_max == 0) return handle(connection);
      expect_body(connection);
    }
    if (connection.phase == Phase::kBody && connection.in.size() >= connection.wanted) {
      connection.request.body = connection.in.substr(0, connection.wanted);
      handle(connection);
    } else if (connection.phase == Phase::kExcess) {
      connection.wanted -= std::min(connection.wanted, connection.in.size());
      connection.in.clear();
      if (connection.wanted == 0) begin_answer(connection);
    }
  }

  void expect_body(Connection& connection) {
    std::size_t excess = 0;
    const auto bytes = body_bytes(connection.request, options_.body_bytes_max, excess);
    if (!bytes) {
      const Code code = bytes.error().code;
      const bool large = code == Code::kOutOfRange;
      return turn_away(connection, large ? "oversized" : "malformed",
                       large                          ? 413
                       : code == Code::kUnimplemented ? 411
                                                      : 400,
                       bytes.error().message, excess);
    }
    connection.wanted = *bytes;
    connection.phase = Phase::kBody;
    if (connection.request.header("expect") == "100-continue" && connection.in.size() < connection.wanted)
      static_cast<void>(connection.stream->write("HTTP/1.1 100 Continue\r\n\r\n"));  // there is room
  }

  void turn_away(Connection& connection, std::string_view reason, int code, const std::string& message,
                 std::size_t excess) const {
    refuse(reason);
    connection.out = to_text({.code = code, .body = message + "\n"});
    if (excess > 0 && excess <= kExcessBytesMax) {
      connection.wanted = excess;
      connection.phase = Phase::kExcess;
    } else {
      begin_answer(connection);
    }
  }

  void handle(Connection& connection) {
    connection.phase = Phase::kHandling;
    connection.events = 0;  // but for its end
    connection.in = {};
    connection.until = std::chrono::steady_clock::now() + options_.answer_time;
    options_.handler(
        std::move(connection.request),
        [mailbox = mailbox_, id = connection.id](HttpAnswer answer) { mailbox->put(id, std::move(answer)); });
  }

  void deliver() {
    for (auto& [id, answer] : mailbox_->take()) {
      const auto found = std::ranges::find(connections_, id, &Connection::id);
      if (found == connections_.end() || found->phase != Phase::kHandling || found->over) continue;
      found->out = to_text(answer);
      begin_answer(*found);
      send_some(*found);
    }
  }

  void begin_answer(Connection& connection) const {
    connection.phase = Phase::kAnswering;
    connection.events = POLLOUT;
    connection.until = std::chrono::steady_clock::now() + options_.answer_time;
  }

  static void send_some(Connection& connection) {
    while (true) {
      const auto moved = connection.stream->write(std::string_view(connection.out).substr(connection.sent));
      if (moved.state == SocketStream::State::kMoved) {
        connection.sent += moved.bytes;
        if (connection.sent < connection.out.size()) continue;
        connection.stream->finish();
      }
      connection.events = moved.state == SocketStream::State::kWantsRead ? POLLIN : POLLOUT;
      connection.over =
          moved.state == SocketStream::State::kMoved || moved.state == SocketStream::State::kEnded;
      return;
    }
  }

  const Options options_;
  FileDescriptor listener_;
  int port_ = 0;
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  std::atomic<bool> stopping_{false};
  std::list<Connection> connections_;  // of the thread, the oldest first
  std::uint64_t last_id_ = 0;          // of the thread
  Deadline accept_after_{};            // of the thread
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(Options options) {
  auto server = std::make_unique<PollServer>(std::move(options));
  MUSTER_TRY(server->listen());
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace muster
