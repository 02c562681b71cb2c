// local/api/http_connection.cc: HTTP/1.1 as Boost.Beast parses it, with a deadline on every step
#include "local/api/http_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace muster::local {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr std::size_t kKeptBytes = 64 * 1024;  // of a connection's buffer, from one answer to the next
constexpr std::chrono::seconds kLinger{2};     // for the client to read an answer that ends the connection

HttpRequest convert(http::request<http::string_body>&& message) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  for (const auto& field : message) {
    std::string name(field.name_string());
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string& value = request.headers[std::move(name)];
    if (!value.empty()) value += ", ";  // a header that is there twice is a list
    value.append(field.value().data(), field.value().size());
  }
  request.body = std::move(message.body());
  return request;
}

HttpResponse plain(int status, std::string text) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(text);
  return response;
}

}  // namespace

HttpConnection::HttpConnection(HttpApi& api, Socket socket, asio::ssl::context& tls,
                               const ConnectionLimits& limits, std::function<void()> on_end)
    : api_(api), limits_(limits), on_end_(std::move(on_end)), stream_(std::move(socket), tls) {}

HttpConnection::~HttpConnection() {
  if (body_) body_->close();
}

void HttpConnection::start() {
  asio::dispatch(stream_.get_executor(), [self = shared_from_this()] {
    beast::error_code ignored;
    beast::get_lowest_layer(self->stream_).socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    beast::get_lowest_layer(self->stream_).expires_after(self->limits_.greeting);
    self->stream_.async_handshake(asio::ssl::stream_base::server, [self](const beast::error_code& problem) {
      if (problem) return self->end();
      self->read_header();
    });
  });
}

void HttpConnection::close() {
  asio::post(stream_.get_executor(), [self = shared_from_this()] {
    self->keep_alive_ = false;
    if (!self->busy_) self->end();
  });
}

void HttpConnection::read_header() {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(limits_.header_bytes));
  parser_->body_limit(limits_.body_bytes);
  // Until the first request is whole, the deadline set at the start goes on.
  if (served_) beast::get_lowest_layer(stream_).expires_after(limits_.idle);
  http::async_read_header(stream_, in_, *parser_,
                          [self = shared_from_this()](const beast::error_code& problem, std::size_t) {
                            if (problem) return self->refuse(problem);
                            self->read_body();
                          });
}

void HttpConnection::read_body() {
  if (served_) beast::get_lowest_layer(stream_).expires_after(limits_.request);
  const auto read = [self = shared_from_this()] {
    http::async_read(self->stream_, self->in_, *self->parser_,
                     [self](const beast::error_code& problem, std::size_t) {
                       if (problem) return self->refuse(problem);
                       self->serve();
                     });
  };
  if (!beast::iequals(parser_->get()[http::field::expect], "100-continue")) return read();
  out_ = "HTTP/1.1 100 Continue\r\n\r\n";
  write(read);
}

void HttpConnection::refuse(const beast::error_code& problem) {
  static const auto& category = make_error_code(http::error::bad_method).category();
  if (problem.category() != category || problem == http::error::end_of_stream ||
      problem == http::error::partial_message)
    return end();  // the client left, or was too slow
  keep_alive_ = false;
  if (problem == http::error::body_limit)
    return reply(
        plain(413, fmt::format("the body of a request may have {} bytes at most\n", limits_.body_bytes)));
  if (problem == http::error::header_limit || problem == http::error::buffer_overflow)
    return reply(
        plain(431, fmt::format("the header of a request may have {} bytes at most\n", limits_.header_bytes)));
  reply(plain(400, "400 Bad Request: " + problem.message() + "\n"));
}

void HttpConnection::serve() {
  http::request<http::string_body> message = parser_->release();
  keep_alive_ = message.keep_alive();
  chunked_ = message.version() >= 11;
  head_only_ = message.method() == http::verb::head;
  const std::string target(message.target());
  HttpRequest request = convert(std::move(message));
  if (!parse_target(target, request.path, request.query))
    return reply(plain(400, "400 Bad Request: broken escape in the URL\n"));
  HttpResponse answer = api_.handle(request);
  if (answer.status == 401)
    keep_alive_ = false;  // strangers do not get to stay
  else
    served_ = true;
  reply(std::move(answer));
}

void HttpConnection::write_head(const HttpResponse& answer) {
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

void HttpConnection::reply(HttpResponse answer) {
  busy_ = true;
  if (answer.cut && !answer.stream) return end();
  cut_ = answer.cut;
  if (answer.stream) {
    keep_alive_ = false;  // its read is taken by watch_client()
    write_head(answer);
    body_ = std::move(answer.stream);
    beast::get_lowest_layer(stream_).expires_never();  // a reader may pause; it costs one piece
    watch_client();
    return write([self = shared_from_this()] { self->pump(); });
  }
  write_head(answer);
  if (!head_only_) out_ += answer.body;
  beast::get_lowest_layer(stream_).expires_after(limits_.request);
  write([self = shared_from_this()] {
    if (!self->keep_alive_) return self->finish();
    self->busy_ = false;
    if (self->out_.capacity() > kKeptBytes) self->out_ = {};
    if (self->in_.capacity() > kKeptBytes) self->in_.shrink_to_fit();
    self->read_header();
  });
}

void HttpConnection::write(std::function<void()> then) {
  asio::async_write(
      stream_, asio::buffer(out_),
      [self = shared_from_this(), then = std::move(then)](const beast::error_code& problem, std::size_t) {
        if (problem || self->ended_) return self->end();
        then();
      });
}

void HttpConnection::pump() {
  if (ended_ || !body_) return;
  piece_.clear();
  const BodyStream::State state = body_->pull(piece_);
  if (state == BodyStream::State::kPending) {
    // Not from within the waker's thread: the store must not wait for a socket.
    body_->when_ready(
        [self = shared_from_this()] { asio::post(self->stream_.get_executor(), [self] { self->pump(); }); });
    return;
  }
  const bool last = state == BodyStream::State::kEnd;
  if (last && cut_) return end();
  out_.clear();
  if (!piece_.empty() && chunked_) fmt::format_to(std::back_inserter(out_), "{:x}\r\n", piece_.size());
  out_ += piece_;
  if (!piece_.empty() && chunked_) out_ += "\r\n";
  if (last && chunked_) out_ += "0\r\n\r\n";
  write([self = shared_from_this(), last] {
    if (last) return self->finish();
    if (self->out_.capacity() > 2 * kKeptBytes) self->out_ = self->piece_ = {};
    self->pump();
  });
}

void HttpConnection::watch_client() {
  watching_ = true;
  stream_.async_read_some(asio::buffer(scratch_),
                          [self = shared_from_this()](const beast::error_code& problem, std::size_t) {
                            self->watching_ = false;
                            if (self->ended_) return;
                            if (self->finished_) return self->drain();
                            if (problem) return self->end();
                            self->watch_client();
                          });
}

void HttpConnection::finish() {
  if (body_) std::exchange(body_, nullptr)->close();
  finished_ = true;
  beast::error_code ignored;
  beast::get_lowest_layer(stream_).socket().shutdown(Socket::shutdown_send, ignored);
  if (!watching_) return drain();
  beast::get_lowest_layer(stream_).cancel();  // a stream bears one read at a time: the next is drain()'s
}

// A close with bytes unread would reset the connection, and take the answer with it.
void HttpConnection::drain() {
  if (!std::exchange(draining_, true)) beast::get_lowest_layer(stream_).expires_after(kLinger);
  beast::get_lowest_layer(stream_).async_read_some(
      asio::buffer(scratch_), [self = shared_from_this()](const beast::error_code& problem, std::size_t) {
        if (problem) return self->end();
        self->drain();
      });
}

void HttpConnection::end() {
  if (std::exchange(ended_, true)) return;
  if (body_) std::exchange(body_, nullptr)->close();
  beast::get_lowest_layer(stream_).close();
  if (on_end_) std::exchange(on_end_, nullptr)();
}

}  // namespace muster::local
