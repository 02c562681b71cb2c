#pragma once  // local/api/http_connection.h: one TLS connection: requests in, answers and streams out
              // (private to http_*.cc)
#include <atomic>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "local/api/http_api.h"
#include "local/api/http_listener.h"

namespace muster::local {

// Everything happens on the strand of `socket`'s executor, but for start(), close() and served().
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  // `api`, `tls` and `limits` outlive it; `on_end` is called once, when nothing is left to do.
  HttpConnection(HttpApi& api, Socket socket, boost::asio::ssl::context& tls, const ConnectionLimits& limits,
                 std::function<void()> on_end);
  ~HttpConnection();
  void start();
  void close();  // at once if it is idle, else after the answer it is busy with
  [[nodiscard]] bool served() const { return served_; }  // it has shown the token

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  void read_header();
  void read_body();
  void refuse(const boost::beast::error_code& problem);
  void serve();
  void reply(HttpResponse answer);
  void write_head(const HttpResponse& answer);
  void write(std::function<void()> then);
  void pump();          // the next piece of the stream
  void watch_client();  // a client that leaves in the middle of a stream is noticed at once
  void finish();        // no more answers
  void drain();         // until the client has heard of it, or a moment
  void end();

  HttpApi& api_;
  const ConnectionLimits& limits_;
  std::function<void()> on_end_;
  boost::asio::ssl::stream<boost::beast::tcp_stream> stream_;
  boost::beast::flat_buffer in_;
  std::optional<Parser> parser_;
  std::string out_;
  std::string piece_;
  std::shared_ptr<BodyStream> body_;
  bool keep_alive_ = true;
  bool chunked_ = true;
  bool head_only_ = false;
  bool cut_ = false;   // a fault: the stream ends without its end
  bool busy_ = false;  // with an answer
  bool watching_ = false;  // a read of watch_client() is under way
  bool finished_ = false;  // all answers are written
  bool draining_ = false;
  bool ended_ = false;
  char scratch_[512];
  std::atomic<bool> served_{false};
};

}  // namespace muster::local
