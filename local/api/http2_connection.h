#pragma once  // local/api/http2_connection.h: HTTP/2 on a connection: requests and streams side by side
              // (private to http*_*.cc)
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "local/api/http_connection.h"

struct nghttp2_session;

namespace muster::local {

// nghttp2 knows the frames and their rules, this class the socket, the requests and the deadlines. Requests
// are handled outside the strand: a slow one must not hold up the others of its client, which all come here.
class Http2Connection : public HttpProtocol {
 public:
  explicit Http2Connection(HttpConnection& connection);
  ~Http2Connection() override;
  void start() override;
  void close() override;
  void ended() override;

 private:
  using Instant = std::chrono::steady_clock::time_point;
  struct Exchange;   // one request and its answer
  struct Callbacks;  // what nghttp2 calls
  void open_session();
  void read();
  void flush();  // writes what nghttp2 has to say and the peer's windows let it say
  void header_is_whole(Exchange& exchange, bool has_body);
  void add_body(Exchange& exchange, const std::uint8_t* data, std::size_t size);
  void serve(Exchange& exchange);
  void reply(Exchange& exchange, HttpResponse answer);
  std::ptrdiff_t fill(Exchange& exchange, std::uint8_t* to, std::size_t room, std::uint32_t& flags);
  void wake(std::int32_t id);  // a stream has more
  void forget(std::int32_t id);
  void say_goodbye();  // no more requests; what is under way goes on
  void finish();       // all is written
  void meet_deadlines();
  void arm();  // the timer, for the next deadline
  [[nodiscard]] bool crowded() const;
  [[nodiscard]] std::shared_ptr<HttpConnection> keep() { return connection_.shared_from_this(); }

  struct SessionFree {
    void operator()(nghttp2_session* session) const;
  };
  HttpConnection& connection_;
  std::map<std::int32_t, std::unique_ptr<Exchange>> exchanges_;
  std::unique_ptr<nghttp2_session, SessionFree> session_;
  boost::asio::steady_timer timer_;
  Instant armed_ = Instant::max();       // when the timer rings
  Instant idle_end_ = Instant::max();    // when a connection without a request is closed
  Instant linger_end_ = Instant::max();  // when a connection that has said goodbye is closed
  Instant write_began_{};
  std::size_t handling_ = 0;  // requests that the API is busy with, also those of streams that are gone
  bool goodbye_ = false;
  bool brisk_ = false;  // nobody waits for an answer: no time is given to read the last one
  bool reading_ = false;
  bool writing_ = false;
  bool finished_ = false;
  std::string out_;
  char in_[16 * 1024];
};

}  // namespace muster::local
