// local/api/http1_connection.cc: HTTP/1.1 as Boost.Beast parses it, with a deadline on every step
#include "local/api/http1_connection.h"

#include <fmt/format.h>

#include <iterator>

namespace muster::local {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

HttpRequest convert(http::request<http::string_body>&& message) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  for (const auto& field : message) {
    const auto name = field.name_string();
    add_header(request, std::string_view(name.data(), name.size()),
               std::string_view(field.value().data(), field.value().size()));
  }
  request.body = std::move(message.body());
  return request;
}

}  // namespace

Http1Connection::~Http1Connection() {
  if (body_) body_->close();
}

void Http1Connection::close() {
  keep_alive_ = false;
  if (!busy_) connection_.end();
}

void Http1Connection::ended() {
  if (body_) std::exchange(body_, nullptr)->close();
}

void Http1Connection::read_header() {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(connection_.limits().header_bytes));
  parser_->body_limit(connection_.limits().body_bytes);
  // Until the first request is whole, the deadline set at the start goes on.
  if (connection_.served()) connection_.socket().expires_after(connection_.limits().idle);
  http::async_read_header(connection_.stream(), in_, *parser_,
                          [this, self = keep()](const beast::error_code& problem, std::size_t) {
                            if (problem) return refuse(problem);
                            read_body();
                          });
}

void Http1Connection::read_body() {
  if (connection_.served()) connection_.socket().expires_after(connection_.limits().request);
  const auto read = [this, self = keep()] {
    http::async_read(connection_.stream(), in_, *parser_,
                     [this, self](const beast::error_code& problem, std::size_t) {
                       if (problem) return refuse(problem);
                       serve();
                     });
  };
  if (!beast::iequals(parser_->get()[http::field::expect], "100-continue")) return read();
  out_ = "HTTP/1.1 100 Continue\r\n\r\n";
  write(read);
}

void Http1Connection::refuse(const beast::error_code& problem) {
  static const auto& category = make_error_code(http::error::bad_method).category();
  if (problem.category() != category || problem == http::error::end_of_stream ||
      problem == http::error::partial_message)
    return connection_.end();  // the client left, or was too slow
  keep_alive_ = false;
  if (problem == http::error::body_limit) return reply(connection_.refusal(413));
  if (problem == http::error::header_limit || problem == http::error::buffer_overflow)
    return reply(connection_.refusal(431));
  reply(connection_.refusal(400, problem.message()));
}

void Http1Connection::serve() {
  http::request<http::string_body> message = parser_->release();
  keep_alive_ = message.keep_alive();
  chunked_ = message.version() >= 11;
  head_only_ = message.method() == http::verb::head;
  const std::string target(message.target());
  HttpRequest request = convert(std::move(message));
  if (!parse_target(target, request.path, request.query))
    return reply(connection_.refusal(400, "broken escape in the URL"));
  if (!connection_.admit(request)) keep_alive_ = false;
  reply(connection_.api().handle(request));
}

void Http1Connection::write_head(const HttpResponse& answer) {
  const std::string_view reason = [&] {
    const auto text = http::obsolete_reason(static_cast<http::status>(answer.status));
    return std::string_view(text.data(), text.size());
  }();
  out_.clear();
  out_.reserve(512 + answer.body.size());
  const auto to = std::back_inserter(out_);
  fmt::format_to(to, "HTTP/1.1 {} {}\r\nContent-Type: {}\r\n", answer.status, reason, answer.content_type);
  for (const auto& [name, value] : answer.headers) fmt::format_to(to, "{}: {}\r\n", name, value);
  if (!answer.stream)
    fmt::format_to(to, "Content-Length: {}\r\n", answer.body.size());
  else if (chunked_)
    out_ += "Transfer-Encoding: chunked\r\n";
  if (!keep_alive_) out_ += "Connection: close\r\n";
  out_ += "\r\n";
}

void Http1Connection::reply(HttpResponse answer) {
  busy_ = true;
  if (answer.stream) {
    keep_alive_ = false;  // its read is taken by watch_client()
    write_head(answer);
    body_ = std::move(answer.stream);
    connection_.socket().expires_never();  // a reader may pause; it costs one piece
    watch_client();
    return write([this, self = keep()] { pump(); });
  }
  write_head(answer);
  if (!head_only_) out_ += answer.body;
  connection_.socket().expires_after(connection_.limits().request);
  write([this, self = keep()] {
    if (!keep_alive_) return finish();
    busy_ = false;
    if (out_.capacity() > kKeptBytes) out_ = {};
    if (in_.capacity() > kKeptBytes) in_.shrink_to_fit();
    read_header();
  });
}

void Http1Connection::write(std::function<void()> then) {
  asio::async_write(
      connection_.stream(), asio::buffer(out_),
      [this, self = keep(), then = std::move(then)](const beast::error_code& problem, std::size_t) {
        if (problem || connection_.has_ended()) return connection_.end();
        then();
      });
}

void Http1Connection::pump() {
  if (connection_.has_ended() || !body_) return;
  piece_.clear();
  const BodyStream::State state = body_->pull(piece_);
  if (state == BodyStream::State::kPending) {
    // Not from within the waker's thread: the store must not wait for a socket.
    body_->when_ready(
        [this, self = keep()] { asio::post(connection_.stream().get_executor(), [this, self] { pump(); }); });
    return;
  }
  const bool last = state == BodyStream::State::kEnd;
  out_.clear();
  if (!piece_.empty() && chunked_) fmt::format_to(std::back_inserter(out_), "{:x}\r\n", piece_.size());
  out_ += piece_;
  if (!piece_.empty() && chunked_) out_ += "\r\n";
  if (last && chunked_) out_ += "0\r\n\r\n";
  write([this, self = keep(), last] {
    if (last) return finish();
    if (out_.capacity() > 2 * kKeptBytes) out_ = piece_ = {};
    pump();
  });
}

void Http1Connection::watch_client() {
  watching_ = true;
  connection_.stream().async_read_some(asio::buffer(scratch_),
                                       [this, self = keep()](const beast::error_code& problem, std::size_t) {
                                         watching_ = false;
                                         if (connection_.has_ended()) return;
                                         if (finished_) return drain();
                                         if (problem) return connection_.end();
                                         watch_client();
                                       });
}

void Http1Connection::finish() {
  if (body_) std::exchange(body_, nullptr)->close();
  finished_ = true;
  beast::error_code ignored;
  connection_.socket().socket().shutdown(HttpConnection::Socket::shutdown_send, ignored);
  if (!watching_) return drain();
  connection_.socket().cancel();  // a stream bears one read at a time: the next is drain()'s
}

// A close with bytes unread would reset the connection, and take the answer with it.
void Http1Connection::drain() {
  if (!std::exchange(draining_, true)) connection_.socket().expires_after(kLinger);
  connection_.socket().async_read_some(asio::buffer(scratch_),
                                       [this, self = keep()](const beast::error_code& problem, std::size_t) {
                                         if (problem) return connection_.end();
                                         drain();
                                       });
}

}  // namespace muster::local
