// local/api/http_connection.cc: from a socket to the protocol that its client chose
#include "local/api/http_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "local/api/http1_connection.h"
#include "local/api/http2_connection.h"

namespace muster::local {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;

bool chose_http2(HttpConnection::Stream& stream) {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(stream.native_handle(), &name, &size);
  return std::string_view(reinterpret_cast<const char*>(name), size) == "h2";
}

}  // namespace

HttpConnection::HttpConnection(HttpApi& api, asio::io_context& io, Socket socket, asio::ssl::context& tls,
                               const ConnectionLimits& limits, std::function<void()> on_end)
    : api_(api), io_(io), limits_(limits), on_end_(std::move(on_end)), stream_(std::move(socket), tls) {}

void HttpConnection::start() {
  asio::dispatch(stream_.get_executor(), [self = shared_from_this()] {
    beast::error_code ignored;
    self->socket().socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    self->greeting_end_ = std::chrono::steady_clock::now() + self->limits_.greeting;
    self->socket().expires_at(self->greeting_end_);
    self->stream_.async_handshake(asio::ssl::stream_base::server, [self](const beast::error_code& problem) {
      if (problem || self->ended_) return self->end();
      if (chose_http2(self->stream_))
        self->protocol_ = std::make_unique<Http2Connection>(*self);
      else
        self->protocol_ = std::make_unique<Http1Connection>(*self);
      self->protocol_->start();
    });
  });
}

void HttpConnection::close() {
  asio::post(stream_.get_executor(), [self = shared_from_this()] {
    if (self->ended_) return;
    if (!self->protocol_) return self->end();
    self->protocol_->close();
  });
}

bool HttpConnection::admit(const HttpRequest& request) {
  if (!api_.admits(request)) return false;
  served_ = true;
  return true;
}

HttpResponse HttpConnection::refusal(int status, std::string_view why) const {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  if (status == 413)
    response.body = fmt::format("the body of a request may have {} bytes at most\n", limits_.body_bytes);
  else if (status == 431)
    response.body = fmt::format("the header of a request may have {} bytes at most\n", limits_.header_bytes);
  else
    response.body = fmt::format("{} Bad Request: {}\n", status, why);
  return response;
}

void HttpConnection::end() {
  if (std::exchange(ended_, true)) return;
  if (protocol_) protocol_->ended();
  socket().close();
  if (on_end_) std::exchange(on_end_, nullptr)();
}

void add_header(HttpRequest& request, std::string_view name, std::string_view value) {
  std::string key(name);
  std::transform(key.begin(), key.end(), key.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string& whole = request.headers[std::move(key)];
  if (!whole.empty()) whole += ", ";
  whole.append(value);
}

}  // namespace muster::local
