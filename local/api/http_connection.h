#pragma once  // local/api/http_connection.h: one TLS connection, whatever HTTP is spoken on it (private to
              // http*_*.cc)
#include <atomic>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "local/api/http_api.h"
#include "local/api/http_listener.h"

namespace muster::local {

inline constexpr std::size_t kKeptBytes = 64 * 1024;  // of a connection's buffer, from one answer to the next
inline constexpr std::chrono::seconds kLinger{2};     // for the client to read what ends the connection

// What is spoken on a connection, which owns it. Called on the connection's strand.
class HttpProtocol {
 public:
  virtual ~HttpProtocol() = default;
  virtual void start() = 0;  // the handshake is done
  virtual void close() = 0;  // at once if it is idle, else after the answers it is busy with
  virtual void ended() = 0;  // the socket is closed: nothing is held any longer
};

// Everything happens on the strand of `socket`'s executor, but for start(), close() and served().
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Stream = boost::asio::ssl::stream<boost::beast::tcp_stream>;
  // All by reference outlive it; `on_end` is called once, when nothing is left to do.
  HttpConnection(HttpApi& api, boost::asio::io_context& io, Socket socket, boost::asio::ssl::context& tls,
                 const ConnectionLimits& limits, std::function<void()> on_end);
  void start();  // HTTP/2 if the client offers it by ALPN, else HTTP/1.1
  void close();
  [[nodiscard]] bool served() const { return served_; }  // it has shown the token

  // For what is spoken on it.
  [[nodiscard]] HttpApi& api() { return api_; }
  [[nodiscard]] boost::asio::io_context& io() { return io_; }
  [[nodiscard]] Stream& stream() { return stream_; }
  [[nodiscard]] boost::beast::tcp_stream& socket() { return boost::beast::get_lowest_layer(stream_); }
  [[nodiscard]] const ConnectionLimits& limits() const { return limits_; }
  // By when the first request must have shown the token.
  [[nodiscard]] std::chrono::steady_clock::time_point greeting_end() const { return greeting_end_; }
  // False: the request lacks the token. Its answer is the last one: strangers do not get to stay.
  [[nodiscard]] bool admit(const HttpRequest& request);
  // An answer that needs no API, with the limit in its words: 400, 413 or 431.
  [[nodiscard]] HttpResponse refusal(int status, std::string_view why = {}) const;
  void end();
  [[nodiscard]] bool has_ended() const { return ended_; }

 private:
  HttpApi& api_;
  boost::asio::io_context& io_;
  const ConnectionLimits& limits_;
  std::function<void()> on_end_;
  Stream stream_;
  std::chrono::steady_clock::time_point greeting_end_;
  std::unique_ptr<HttpProtocol> protocol_;  // none until the handshake is done
  bool ended_ = false;
  std::atomic<bool> served_{false};
};

// `name` in any case; a header that is there twice is a list.
void add_header(HttpRequest& request, std::string_view name, std::string_view value);

}  // namespace muster::local
