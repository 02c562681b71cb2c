// pod/guarded_port.cc: a thread accepts, looks at the first byte, hands the connection to gRPC and keeps an
// eye on it, through a duplicate of its descriptor, until its first permitted call
#include "pod/guarded_port.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/host_port.h"
#include "common/platform/file_descriptor.h"
#include "common/platform/mutex.h"
#include "common/platform/socket_address.h"
#include "pod/plain_messages.h"

namespace muster {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr unsigned char kTlsHandshake = 0x16;  // the content type of a ClientHello's record
constexpr int kBacklog = 128;
constexpr milliseconds kNoDescriptors{100};  // before accept is tried again when there were none left
constexpr milliseconds kRefusalTime{500};    // for the answer to one whose name is not permitted

// "127.0.0.1:4711", "[::1]:4711".
std::string text_of(const SocketAddress& address) { return host_port(address.ip(), address.port()); }

// The same of gRPC's "ipv4:127.0.0.1:4711" and "ipv6:%5B::1%5D:4711".
std::string text_of(std::string peer) {
  peer.erase(0, peer.find(':') + 1);
  for (const auto& [coded, plain] : {std::pair{"%5B", '['}, {"%5D", ']'}}) {
    if (const std::size_t at = peer.find(coded); at != std::string::npos) peer.replace(at, 3, 1, plain);
  }
  return peer;
}

std::string_view ip_of(std::string_view peer) { return peer.substr(0, peer.rfind(':')); }

struct Stranger {
  FileDescriptor connection;  // until gRPC has it: the connection; then a duplicate that shows when it ends
  std::string peer;
  Deadline deadline;
  bool handed_over = false;
  bool refused = false;  // a call of his was: that is counted
};

struct Known {                // made a permitted call
  FileDescriptor connection;  // a duplicate
  std::string name;
};

class Port final : public GuardedPort {
 public:
  explicit Port(Options options)
      : options_(std::move(options)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Port() override { stop(); }

  Status listen(grpc::ServerBuilder& builder) {
    auto address = SocketAddress::of(options_.ip, options_.port);
    if (!address) return invalid_argument(fmt::format("\"{}\" is not an IP address", options_.ip));
    listener_ = FileDescriptor(::socket(address->family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int yes = 1;
    if (!listener_.valid() || !wake_.valid() ||
        ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        ::bind(listener_.get(), address->any(), address->length) != 0 ||
        ::listen(listener_.get(), kBacklog) != 0) {
      const int reason = errno;
      const std::string what = fmt::format("cannot listen on {}: {}", host_port(options_.ip, options_.port),
                                           std::strerror(reason));
      if (reason == EADDRINUSE) return already_exists(what + "; end the other program");
      return unavailable(what + (reason == EADDRNOTAVAIL ? "; is MUSTER_POD_IP this pod's own?" : ""));
    }
    address->length = sizeof address->storage;
    ::getsockname(listener_.get(), address->any(), &address->length);
    port_ = address->port();
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                               static_cast<int>(options_.patience.count()));
    take_plain_messages(builder);
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        options_.credentials.for_server());
    return {};
  }

  [[nodiscard]] int port() const override { return port_; }

  void start() override {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }

  void stop() override {
    const MutexLock lock(stop_mutex_);
    if (!thread_.joinable()) return;
    thread_.request_stop();
    wake();
    thread_.join();
    listener_.reset();
    const MutexLock strangers_lock(mutex_);
    strangers_.clear();
    known_.clear();
  }

  grpc::Status check(const grpc::ServerContextBase& call) override {
    const auto name = caller_of(call);
    const std::string peer = text_of(call.peer());
    if (!name || !options_.permitted(*name)) {
      refuse("name");
      send_away_soon(peer);
      if (!name)
        return {grpc::StatusCode::UNAUTHENTICATED, "the caller's certificate names no peer of Muster's"};
      return {grpc::StatusCode::PERMISSION_DENIED,
              fmt::format("the caller is {}, who may not make calls here", dns_name(*name))};
    }
    admit(peer, *name);
    return grpc::Status::OK;
  }

 private:
  void admit(const std::string& peer, const PeerName& name) {
    const MutexLock lock(mutex_);
    const auto stranger = handed_over(peer);
    if (stranger == strangers_.end()) return;
    known_.push_back({.connection = std::move(stranger->connection), .name = dns_name(name)});
    strangers_.erase(stranger);
    const auto is_same = [same = known_.back().name](const Known& other) { return other.name == same; };
    if (std::cmp_less_equal(std::ranges::count_if(known_, is_same), options_.connections_of_a_peer_max))
      return;
    refuse("crowded");
    const auto oldest = std::ranges::find_if(known_, is_same);
    ::shutdown(oldest->connection.get(), SHUT_RDWR);
    known_.erase(oldest);
  }

  void send_away_soon(const std::string& peer) {
    const MutexLock lock(mutex_);
    const auto stranger = handed_over(peer);
    if (stranger == strangers_.end()) return;
    stranger->refused = true;
    stranger->deadline = std::min(stranger->deadline, steady_clock::now() + kRefusalTime);
    wake();
  }

  std::list<Stranger>::iterator handed_over(const std::string& peer) MUSTER_REQUIRES(mutex_) {
    return std::ranges::find_if(
        strangers_, [&](const Stranger& stranger) { return stranger.handed_over && stranger.peer == peer; });
  }

  void wake() { ::eventfd_write(wake_.get(), 1); }

  void refuse(std::string_view reason) const {
    if (options_.refused) options_.refused(reason);
  }

  void run(const std::stop_token& stop) {
    std::vector<pollfd> polled;
    while (!stop.stop_requested()) {
      polled.assign({{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}});
      Deadline next = steady_clock::now() + std::chrono::hours(1);
      {
        const MutexLock lock(mutex_);
        for (const Stranger& stranger : strangers_) {
          // Of one that gRPC has, only the end is waited for: what he sends is not ours to read.
          const short events = stranger.handed_over ? POLLRDHUP : POLLIN;
          polled.push_back({stranger.connection.get(), events, 0});
          next = std::min(next, stranger.deadline);
        }
        for (const Known& known : known_) polled.push_back({known.connection.get(), POLLRDHUP, 0});
      }
      const auto wait = std::chrono::ceil<milliseconds>(next - steady_clock::now());
      ::poll(polled.data(), polled.size(), static_cast<int>(std::max<std::int64_t>(0, wait.count())));
      if (stop.stop_requested()) return;
      if (polled[0].revents != 0) {
        eventfd_t count = 0;
        ::eventfd_read(wake_.get(), &count);
      }
      std::erase_if(polled, [](const pollfd& entry) { return entry.revents == 0; });
      look_at_strangers(polled);
      forget_known(polled);
      if (told(polled, listener_)) accept_all();
    }
  }

  // `events` may name strangers who have been admitted since.
  void look_at_strangers(const std::vector<pollfd>& events) {
    const MutexLock lock(mutex_);
    const Deadline now = steady_clock::now();
    strangers_.remove_if([&](Stranger& stranger) {
      const bool speaks = told(events, stranger.connection);
      if (speaks && !stranger.handed_over) return !hand_over(stranger);
      if (speaks) {
        if (!stranger.refused) refuse("handshake");
        return true;
      }
      if (now < stranger.deadline) return false;
      if (!stranger.refused) refuse(stranger.handed_over ? "late" : "silent");
      ::shutdown(stranger.connection.get(), SHUT_RDWR);
      return true;
    });
  }

  void forget_known(const std::vector<pollfd>& events) {
    const MutexLock lock(mutex_);
    known_.remove_if([&](const Known& known) { return told(events, known.connection); });
  }

  static bool told(const std::vector<pollfd>& events, const FileDescriptor& descriptor) {
    return std::ranges::any_of(events, [&](const pollfd& event) { return event.fd == descriptor.get(); });
  }

  // False: he is turned away.
  bool hand_over(Stranger& stranger) {
    unsigned char first = 0;
    const ssize_t got = ::recv(stranger.connection.get(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got != 1 || first != kTlsHandshake) {
      refuse(got == 1 ? "plaintext" : "silent");
      return false;
    }
    FileDescriptor watched(::fcntl(stranger.connection.get(), F_DUPFD_CLOEXEC, 0));
    if (!watched.valid()) {
      refuse("crowded");
      return false;
    }
    const int yes = 1;
    ::setsockopt(watched.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);  // as gRPC does where it accepts
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.listener_fd = listener_.get();
    parameters.fd = stranger.connection.release();  // gRPC's from here on
    stranger.connection = std::move(watched);
    stranger.handed_over = true;
    acceptor_->HandleNewConnection(&parameters);
    return true;
  }

  void accept_all() {
    for (int i = 0; i < kBacklog; ++i) {
      SocketAddress address;
      FileDescriptor connection(
          ::accept4(listener_.get(), address.any(), &address.length, SOCK_CLOEXEC | SOCK_NONBLOCK));
      const MutexLock lock(mutex_);
      if (!connection.valid()) {
        if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
        if (strangers_.empty()) std::this_thread::sleep_for(kNoDescriptors);
        remove_oldest();
        return;
      }
      if (strangers_.size() >= options_.strangers_max) remove_oldest();
      strangers_.push_back({.connection = std::move(connection),
                            .peer = text_of(address),
                            .deadline = steady_clock::now() + options_.patience});
    }
  }

  // The oldest one of the addresses that have most of them: a flood pushes itself out, not the others.
  void remove_oldest() MUSTER_REQUIRES(mutex_) {
    if (strangers_.empty()) return;
    std::map<std::string_view, int> counts;
    int most = 0;
    for (const Stranger& stranger : strangers_) most = std::max(most, ++counts[ip_of(stranger.peer)]);
    const auto oldest = std::ranges::find_if(
        strangers_, [&](const Stranger& stranger) { return counts[ip_of(stranger.peer)] == most; });
    refuse("crowded");
    ::shutdown(oldest->connection.get(), SHUT_RDWR);
    strangers_.erase(oldest);
  }

  const Options options_;
  FileDescriptor wake_;
  FileDescriptor listener_;
  int port_ = 0;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  Mutex mutex_;
  std::list<Stranger> strangers_ MUSTER_GUARDED_BY(mutex_);  // the oldest first
  std::list<Known> known_ MUSTER_GUARDED_BY(mutex_);         // likewise
  Mutex stop_mutex_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace

Result<std::unique_ptr<GuardedPort>> GuardedPort::open(Options options, grpc::ServerBuilder& builder) {
  auto port = std::make_unique<Port>(std::move(options));
  MUSTER_TRY(port->listen(builder));
  return std::unique_ptr<GuardedPort>(std::move(port));
}

}  // namespace muster
