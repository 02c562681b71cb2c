// local/api/http_listener.cc: the port, its threads, and which connections there are
#include "local/api/http_listener.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <map>
#include <thread>

#include "common/platform/mutex.h"
#include "local/api/http_connection.h"

namespace muster::local {
namespace {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;

constexpr int kThreads = 4;  // more than cores: a slow answer of a fault script holds one of them
constexpr std::size_t kConnectionsMax = 1024;  // of some 70 KiB each
constexpr std::chrono::milliseconds kAcceptPause{50};
constexpr std::chrono::milliseconds kCloseTime{500};  // for the last answers to be taken

// Half of the descriptors that this process may have; the other half is for pods.
std::size_t connections_max() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kConnectionsMax;
  return std::clamp<std::size_t>(limit.rlim_cur / 2, 16, kConnectionsMax);
}

// HTTP/2 where the client knows it; a client that names neither speaks HTTP/1.1.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                    unsigned offered_size, void*) {
  static constexpr unsigned char kKnown[] = "\x02h2\x08http/1.1";
  unsigned char* match = nullptr;
  if (SSL_select_next_proto(&match, size, kKnown, sizeof kKnown - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *chosen = match;
  return SSL_TLSEXT_ERR_OK;
}

void configure(asio::ssl::context& tls, const Certificate& certificate) {
  using asio::ssl::context_base;
  tls.set_options(context_base::default_workarounds | context_base::no_sslv2 | context_base::no_sslv3 |
                  context_base::no_tlsv1 | context_base::no_tlsv1_1);
  SSL_CTX_set_mode(tls.native_handle(), SSL_MODE_RELEASE_BUFFERS);  // idle connections cost less
  SSL_CTX_set_alpn_select_cb(tls.native_handle(), choose_protocol, nullptr);
  tls.use_certificate_chain(asio::buffer(certificate.certificate_pem));
  tls.use_private_key(asio::buffer(certificate.key_pem), context_base::pem);
}

}  // namespace

struct HttpListener::Impl {
  HttpApi& api;
  const ConnectionLimits limits;
  const std::size_t most = limits.connections > 0 ? limits.connections : connections_max();
  asio::io_context io{kThreads};
  asio::ssl::context tls{asio::ssl::context::tls_server};
  Tcp::acceptor acceptor{asio::make_strand(io)};
  asio::steady_timer pause{acceptor.get_executor()};
  int port = 0;
  std::vector<std::thread> threads;
  mutable Mutex mutex;
  Condition fewer;
  std::map<std::uint64_t, std::weak_ptr<HttpConnection>> connections MUSTER_GUARDED_BY(mutex);  // by age
  std::uint64_t next MUSTER_GUARDED_BY(mutex) = 0;
  bool closed MUSTER_GUARDED_BY(mutex) = false;

  Impl(HttpApi& target, const ConnectionLimits& wanted) : api(target), limits(wanted) {}

  Status start(const std::string& ip, int wanted, const Certificate& certificate) {
    const Tcp::endpoint endpoint(asio::ip::make_address_v4(ip), static_cast<unsigned short>(wanted));
    try {
      configure(tls, certificate);
      acceptor.open(endpoint.protocol());
      acceptor.set_option(Tcp::acceptor::reuse_address(true));
      acceptor.bind(endpoint);
      acceptor.listen();
      port = acceptor.local_endpoint().port();
    } catch (const std::exception& error) {
      return unavailable("cannot listen on " + ip + ":" + std::to_string(wanted) + ": " + error.what() +
                         "; is the port in use? Choose another one, or 0 for a free one");
    }
    accept();
    for (int i = 0; i < kThreads; ++i) threads.emplace_back([this] { run(); });
    return {};
  }

  void run() {
    while (!io.stopped()) {
      try {
        io.run();
      } catch (const std::exception&) {  // out of memory in one handler: its connection goes with it
      }
    }
  }

  void accept() {
    acceptor.async_accept(
        asio::make_strand(io), [this](const boost::system::error_code& problem, Tcp::socket socket) {
          if (problem == asio::error::operation_aborted) return;
          if (!problem) {
            admit(std::move(socket));
            return accept();
          }
          pause.expires_after(kAcceptPause);  // out of descriptors, most likely: some will be free
          pause.async_wait([this](const boost::system::error_code& stopped) {
            if (!stopped) accept();
          });
        });
  }

  void admit(Tcp::socket socket) {
    std::shared_ptr<HttpConnection> dropped;
    std::shared_ptr<HttpConnection> fresh;
    {
      const MutexLock lock(mutex);
      if (closed) return;
      if (connections.size() >= most)
        std::erase_if(connections, [](const auto& each) { return each.second.expired(); });
      if (connections.size() >= most) {
        dropped = oldest_stranger();
        if (!dropped) return;  // all are in use: the new one is closed
      }
      const std::uint64_t id = next++;
      fresh = std::make_shared<HttpConnection>(api, io, std::move(socket), tls, limits,
                                               [this, id] { forget(id); });
      connections.emplace(id, fresh);
    }
    if (dropped) dropped->close();
    fresh->start();
  }

  // The one that has been longest without showing a token.
  std::shared_ptr<HttpConnection> oldest_stranger() MUSTER_REQUIRES(mutex) {
    for (const auto& [id, weak] : connections)
      if (auto connection = weak.lock(); connection && !connection->served()) {
        connections.erase(id);
        return connection;
      }
    return nullptr;
  }

  void forget(std::uint64_t id) {
    const MutexLock lock(mutex);
    connections.erase(id);
    fewer.notify_all();
  }

  void close() {
    std::vector<std::shared_ptr<HttpConnection>> left;
    {
      const MutexLock lock(mutex);
      if (std::exchange(closed, true)) return;
      for (const auto& [id, weak] : connections)
        if (auto connection = weak.lock()) left.push_back(std::move(connection));
    }
    asio::post(acceptor.get_executor(), [this] { close_port(); });
    for (const auto& connection : left) connection->close();
    {
      MutexLock lock(mutex);
      fewer.wait_for(lock, kCloseTime, [&]() MUSTER_REQUIRES(mutex) { return connections.empty(); });
    }
    left.clear();
    io.stop();
    for (std::thread& thread : threads) thread.join();
    close_port();  // if the threads were stopped before they came to it
  }

  void close_port() {
    boost::system::error_code ignored;
    acceptor.close(ignored);
    pause.cancel(ignored);
  }
};

HttpListener::HttpListener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpListener::~HttpListener() { close(); }
int HttpListener::port() const { return impl_->port; }

Result<std::unique_ptr<HttpListener>> HttpListener::open(HttpApi& api, const std::string& ip, int port,
                                                         const Certificate& certificate,
                                                         ConnectionLimits limits) {
  auto impl = std::make_unique<Impl>(api, limits);
  MUSTER_TRY(impl->start(ip, port, certificate));
  return std::unique_ptr<HttpListener>(new HttpListener(std::move(impl)));
}

std::size_t HttpListener::connections() const {
  const MutexLock lock(impl_->mutex);
  return impl_->connections.size();
}

void HttpListener::close() { impl_->close(); }

}  // namespace muster::local
