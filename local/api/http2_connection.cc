// local/api/http2_connection.cc: HTTP/2 as nghttp2 frames it, with a deadline on every step
#include "local/api/http2_connection.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "local/api/http2_exchange.h"

namespace muster::local {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using std::chrono::steady_clock;

constexpr std::size_t kStreams = 250;           // of a connection at once; as the real server
constexpr std::int32_t kWindowBytes = 1 << 20;  // that a client may send before it hears from us
constexpr std::size_t kFramesWaiting = 1000;    // a client that lets more pile up is not read
constexpr auto kNever = steady_clock::time_point::max();

std::string_view text(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

nghttp2_nv header(std::string_view name, std::string_view value) {  // nghttp2 copies both
  const auto bytes = [](std::string_view of) {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(of.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

// HTTP/2 frames say what these say in HTTP/1.1, and forbid them.
bool of_http1(std::string_view name) {
  return name == "connection" || name == "transfer-encoding" || name == "keep-alive" || name == "upgrade";
}

}  // namespace

Http2Connection::Http2Connection(HttpConnection& connection)
    : connection_(connection), timer_(connection.stream().get_executor()) {
  open_session();
}

Http2Connection::~Http2Connection() = default;

void Http2Connection::start() {
  if (!session_) return connection_.end();
  connection_.socket().expires_never();  // a deadline of a socket is for one step at a time; arm() has ours
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kStreams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindowBytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(connection_.limits().header_bytes)},
  };
  nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, 0, kWindowBytes);
  idle_end_ = steady_clock::now() + connection_.limits().idle;
  flush();
  read();
  arm();
}

void Http2Connection::close() {
  brisk_ = exchanges_.empty();
  say_goodbye();
  flush();
  arm();
}

void Http2Connection::ended() {
  timer_.cancel();
  exchanges_.clear();
}

bool Http2Connection::crowded() const {
  return handling_ >= kStreams || nghttp2_session_get_outbound_queue_size(session_.get()) > kFramesWaiting;
}

void Http2Connection::read() {
  if (reading_ || connection_.has_ended() || crowded()) return;
  reading_ = true;
  connection_.stream().async_read_some(
      asio::buffer(in_), [this, self = keep()](const beast::error_code& problem, std::size_t size) {
        reading_ = false;
        if (connection_.has_ended()) return;
        if (problem) return connection_.end();  // its streams are closed at once
        if (!finished_) {
          const auto* bytes = reinterpret_cast<const std::uint8_t*>(in_);
          if (nghttp2_session_mem_recv(session_.get(), bytes, size) < 0) return connection_.end();
          flush();
        }
        read();
        arm();
      });
}

void Http2Connection::flush() {
  if (writing_ || finished_ || connection_.has_ended()) return;
  out_.clear();
  while (out_.size() < kKeptBytes) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_.get(), &bytes);
    if (size < 0) return connection_.end();
    if (size == 0) break;
    out_.append(text(bytes, static_cast<std::size_t>(size)));
  }
  if (out_.empty()) {
    if (nghttp2_session_want_read(session_.get()) == 0 && nghttp2_session_want_write(session_.get()) == 0)
      finish();
    return;
  }
  writing_ = true;
  write_began_ = steady_clock::now();
  asio::async_write(connection_.stream(), asio::buffer(out_),
                    [this, self = keep()](const beast::error_code& problem, std::size_t) {
                      writing_ = false;
                      if (problem || connection_.has_ended()) return connection_.end();
                      flush();
                      read();
                      arm();
                    });
}

void Http2Connection::header_is_whole(Exchange& exchange, bool has_body) {
  const ConnectionLimits& limits = connection_.limits();
  if (exchange.header_bytes > limits.header_bytes) return reply(exchange, connection_.refusal(431));
  if (!parse_target(exchange.target, exchange.request.path, exchange.request.query))
    return reply(exchange, connection_.refusal(400, "broken escape in the URL"));
  if (!connection_.admit(exchange.request)) {  // before its body: a stranger's costs nothing
    reply(exchange, connection_.api().handle(exchange.request));
    return say_goodbye();
  }
  const std::string_view length = exchange.request.header("content-length");
  std::size_t bytes = 0;
  std::from_chars(length.data(), length.data() + length.size(), bytes);
  if (bytes > limits.body_bytes) return reply(exchange, connection_.refusal(413));
  if (!has_body || exchange.request.header("expect") != "100-continue") return;
  const nghttp2_nv go_on[] = {header(":status", "100")};
  nghttp2_submit_headers(session_.get(), NGHTTP2_FLAG_NONE, exchange.id, nullptr, go_on, 1, nullptr);
}

void Http2Connection::add_body(Exchange& exchange, const std::uint8_t* data, std::size_t size) {
  if (exchange.answered) return;
  exchange.request.body.append(text(data, size));
  if (exchange.request.body.size() > connection_.limits().body_bytes)
    reply(exchange, connection_.refusal(413));
}

void Http2Connection::serve(Exchange& exchange) {
  exchange.until = kNever;  // the API has deadlines of its own
  ++handling_;
  asio::post(connection_.io(), [this, self = keep(), id = exchange.id,
                                request = std::make_shared<HttpRequest>(std::move(exchange.request))] {
    auto answer = std::make_shared<HttpResponse>(connection_.api().handle(*request));
    const bool head_only = request->method == "HEAD";
    asio::post(connection_.stream().get_executor(), [this, self, id, answer, head_only] {
      --handling_;
      const auto it = exchanges_.find(id);
      if (it == exchanges_.end()) {  // the client did not wait for it, or left
        if (answer->stream) answer->stream->close();
      } else {
        it->second->request.method = head_only ? "HEAD" : "";
        reply(*it->second, std::move(*answer));
        flush();
      }
      if (connection_.has_ended()) return;
      read();
      arm();
    });
  });
}

void Http2Connection::reply(Exchange& exchange, HttpResponse answer) {
  exchange.answered = true;
  const bool head_only = exchange.request.method == "HEAD";
  exchange.request = {};
  exchange.body = std::move(answer.stream);
  // The reader of a stream may pause; it costs one piece.
  exchange.until = exchange.body ? kNever : steady_clock::now() + connection_.limits().request;
  const std::string status = std::to_string(answer.status);
  const std::string length = std::to_string(answer.body.size());
  std::vector<nghttp2_nv> headers{header(":status", status), header("content-type", answer.content_type)};
  for (auto& [name, value] : answer.headers) {
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (!of_http1(name)) headers.push_back(header(name, value));
  }
  if (!exchange.body) headers.push_back(header("content-length", length));
  exchange.piece = std::move(answer.body);
  nghttp2_data_provider provider{};
  provider.source.ptr = &exchange;
  provider.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t room,
                              std::uint32_t* flags, nghttp2_data_source* source, void* user) -> ssize_t {
    try {
      return static_cast<Http2Connection*>(user)->fill(*static_cast<Exchange*>(source->ptr), to, room,
                                                       *flags);
    } catch (const std::exception&) {  // nothing is thrown through C: the connection goes with it
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
  };
  nghttp2_submit_response(session_.get(), exchange.id, headers.data(), headers.size(),
                          head_only ? nullptr : &provider);
}

// nghttp2 asks when the client's windows are open, so nothing is pulled for one that does not read.
std::ptrdiff_t Http2Connection::fill(Exchange& exchange, std::uint8_t* to, std::size_t room,
                                     std::uint32_t& flags) {
  while (exchange.sent == exchange.piece.size() && exchange.body) {
    exchange.sent = 0;
    exchange.piece.clear();
    if (exchange.piece.capacity() > 2 * kKeptBytes) exchange.piece = {};
    const BodyStream::State state = exchange.body->pull(exchange.piece);
    if (state == BodyStream::State::kPending) {
      // Not from within the waker's thread: the store must not wait for a socket. Weak, as the stream is
      // ours.
      exchange.asleep = true;
      exchange.body->when_ready([this, weak = connection_.weak_from_this(), id = exchange.id] {
        const auto self = weak.lock();
        if (self) asio::post(self->stream().get_executor(), [this, self, id] { wake(id); });
      });
      return NGHTTP2_ERR_DEFERRED;
    }
    if (state == BodyStream::State::kEnd) std::exchange(exchange.body, nullptr)->close();
  }
  const std::size_t size = std::min(room, exchange.piece.size() - exchange.sent);
  std::copy_n(exchange.piece.data() + exchange.sent, size, to);
  exchange.sent += size;
  if (exchange.sent == exchange.piece.size() && !exchange.body) flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<std::ptrdiff_t>(size);
}

void Http2Connection::wake(std::int32_t id) {
  const auto it = exchanges_.find(id);
  if (it == exchanges_.end() || !std::exchange(it->second->asleep, false)) return;
  nghttp2_session_resume_data(session_.get(), id);
  flush();
}

void Http2Connection::forget(std::int32_t id) {
  exchanges_.erase(id);
  if (exchanges_.empty()) idle_end_ = steady_clock::now() + connection_.limits().idle;
}

void Http2Connection::say_goodbye() {
  if (std::exchange(goodbye_, true)) return;
  nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_.get()), NGHTTP2_NO_ERROR, nullptr,
                        0);
}

// A close with bytes unread would reset the connection, and take the last answer with it: read() goes on.
void Http2Connection::finish() {
  finished_ = true;
  if (brisk_) return connection_.end();
  beast::error_code ignored;
  connection_.socket().socket().shutdown(HttpConnection::Socket::shutdown_send, ignored);
  arm();
}

void Http2Connection::meet_deadlines() {
  const Instant now = steady_clock::now();
  if (now >= linger_end_ || (!connection_.served() && now >= connection_.greeting_end()))
    return connection_.end();
  if (exchanges_.empty() && now >= idle_end_) say_goodbye();
  for (const auto& [id, exchange] : exchanges_) {
    if (now < exchange->until) continue;
    exchange->until = kNever;
    if (writing_ && now >= write_began_ + connection_.limits().request)
      return connection_.end();  // the client takes nothing at all
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  }
  flush();
  arm();
}

void Http2Connection::arm() {
  if (connection_.has_ended()) return;
  if (finished_ || (goodbye_ && exchanges_.empty()))
    linger_end_ = std::min(linger_end_, steady_clock::now() + kLinger);
  Instant next = linger_end_;
  if (!connection_.served()) next = std::min(next, connection_.greeting_end());
  if (exchanges_.empty() && !goodbye_) next = std::min(next, idle_end_);
  for (const auto& [id, exchange] : exchanges_) next = std::min(next, exchange->until);
  if (next >= armed_) return;  // it rings before: the rest is seen to then
  armed_ = next;
  timer_.expires_at(next);
  timer_.async_wait([this, self = keep()](const beast::error_code& problem) {
    if (problem || connection_.has_ended()) return;
    armed_ = kNever;
    meet_deadlines();
  });
}

}  // namespace muster::local
