#pragma once  // local/api/http1_connection.h: HTTP/1.1 on a connection: one request after the other
              // (private to http*_*.cc)
#include <boost/beast/http.hpp>
#include <optional>

#include "local/api/http_connection.h"

namespace muster::local {

class Http1Connection : public HttpProtocol {
 public:
  explicit Http1Connection(HttpConnection& connection) : connection_(connection) {}
  ~Http1Connection() override;
  void start() override { read_header(); }
  void close() override;
  void ended() override;

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
  [[nodiscard]] std::shared_ptr<HttpConnection> keep() { return connection_.shared_from_this(); }

  HttpConnection& connection_;
  boost::beast::flat_buffer in_;
  std::optional<Parser> parser_;
  std::string out_;
  std::string piece_;
  std::shared_ptr<BodyStream> body_;
  bool keep_alive_ = true;
  bool chunked_ = true;
  bool head_only_ = false;
  bool busy_ = false;      // with an answer
  bool watching_ = false;  // a read of watch_client() is under way
  bool finished_ = false;  // all answers are written
  bool draining_ = false;
  char scratch_[512];
};

}  // namespace muster::local
