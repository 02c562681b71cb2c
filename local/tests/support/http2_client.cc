// local/tests/support/http2_client.cc: nghttp2's client side on an HttpsClient
#include "local/tests/support/http2_client.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstdlib>
#include <set>

namespace muster::testing {
namespace {

std::string text(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

nghttp2_nv header(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view of) {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(of.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

struct Upload {
  std::string body;
  std::size_t sent = 0;
  bool open = false;
};

}  // namespace

struct Http2Client::Impl {
  HttpsClient socket;
  std::string token;
  nghttp2_session* session = nullptr;
  std::map<int, Http2Stream> streams;
  std::map<int, std::size_t> unread;  // bytes that the window was not opened for
  std::map<int, std::unique_ptr<Upload>> uploads;
  bool told_to_go = false;

  explicit Impl(HttpsClient client) : socket(std::move(client)) {}
  ~Impl() { nghttp2_session_del(session); }

  static Impl& self(void* user) { return *static_cast<Impl*>(user); }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t,
                       void* user) {
    Http2Stream& stream = self(user).streams[frame->hd.stream_id];
    const std::string key = text(name, name_size);
    if (key == ":status")
      stream.status = std::atoi(text(value, value_size).c_str());
    else
      stream.headers[key] = text(value, value_size);
    return 0;
  }

  static int on_data(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                     std::size_t size, void* user) {
    self(user).streams[id].body.append(text(data, size));
    nghttp2_session_consume_connection(session, size);
    const auto held = self(user).unread.find(id);
    if (held == self(user).unread.end())
      nghttp2_session_consume_stream(session, id, size);
    else
      held->second += size;
    return 0;
  }

  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    const bool carries = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (carries && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
      self(user).streams[frame->hd.stream_id].ended = true;
    if (frame->hd.type == NGHTTP2_GOAWAY) self(user).told_to_go = true;
    return 0;
  }

  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t error, void* user) {
    self(user).streams[id].closed = true;
    self(user).streams[id].error = error;
    return 0;
  }

  static ssize_t upload(nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t room,
                        std::uint32_t* flags, nghttp2_data_source* source, void*) {
    Upload& from = *static_cast<Upload*>(source->ptr);
    const std::size_t size = std::min(room, from.body.size() - from.sent);
    if (size == 0 && from.open) return NGHTTP2_ERR_DEFERRED;
    std::copy_n(from.body.data() + from.sent, size, to);
    from.sent += size;
    if (from.sent == from.body.size() && !from.open) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(size);
  }

  bool write() {
    const std::uint8_t* bytes = nullptr;
    ssize_t size = 0;
    while ((size = nghttp2_session_mem_send(session, &bytes)) > 0)
      if (!socket.send(text(bytes, static_cast<std::size_t>(size)))) return false;
    return size == 0;
  }
};

Http2Client::Http2Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Http2Client::Http2Client(Http2Client&& other) noexcept = default;
Http2Client::~Http2Client() = default;

Result<Http2Client> Http2Client::connect(const HttpsTarget& target) {
  MUSTER_ASSIGN(HttpsClient socket, HttpsClient::connect(target, "h2"));
  socket.set_patience(std::chrono::seconds(10));
  auto impl = std::make_unique<Impl>(std::move(socket));
  impl->token = target.token;
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* options = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_option_new(&options);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Impl::on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Impl::on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Impl::on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Impl::on_close);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_max_send_header_block_length(options, 1 << 20);
  nghttp2_session_client_new2(&impl->session, callbacks, impl.get(), options);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_option_del(options);
  nghttp2_submit_settings(impl->session, NGHTTP2_FLAG_NONE, nullptr, 0);
  if (!impl->write()) return unavailable("the connection ended within the preface");
  return Http2Client(std::move(impl));
}

int Http2Client::send(const Request& request) {
  const std::string bearer = "Bearer " + impl_->token;
  std::vector<nghttp2_nv> headers{header(":method", request.method), header(":scheme", "https"),
                                  header(":authority", "127.0.0.1"), header(":path", request.path),
                                  header("authorization", bearer)};
  if (!request.body.empty()) headers.push_back(header("content-type", "application/json"));
  for (const auto& [name, value] : request.headers) headers.push_back(header(name, value));
  auto upload = std::make_unique<Upload>(Upload{std::string(request.body), 0, request.open});
  nghttp2_data_provider provider{};
  provider.source.ptr = upload.get();
  provider.read_callback = Impl::upload;
  const bool has_body = !request.body.empty() || request.open;
  const int id = nghttp2_submit_request(impl_->session, nullptr, headers.data(), headers.size(),
                                        has_body ? &provider : nullptr, nullptr);
  impl_->uploads[id] = std::move(upload);
  if (request.unread) impl_->unread[id] = 0;
  (void)impl_->write();  // an end of the connection is noticed by wait()
  return id;
}

Result<Http2Stream> Http2Client::request(const Request& request) {
  const int id = send(request);
  if (!wait([&] { return stream(id).closed; })) return unavailable("the connection ended before an answer");
  return stream(id);
}

const Http2Stream& Http2Client::stream(int id) const { return impl_->streams[id]; }

bool Http2Client::wait(const std::function<bool()>& holds) {
  std::string bytes;
  while (!holds()) {
    bytes.clear();
    if (!impl_->socket.receive(bytes) || bytes.empty()) return false;
    const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
    if (nghttp2_session_mem_recv(impl_->session, data, bytes.size()) < 0) return false;
    (void)impl_->write();  // the server may read no more, but have said why
  }
  return true;
}

void Http2Client::read(int id) {
  const auto held = impl_->unread.find(id);
  if (held == impl_->unread.end()) return;
  nghttp2_session_consume_stream(impl_->session, id, held->second);
  impl_->unread.erase(held);
  (void)impl_->write();
}

void Http2Client::reset(int id) {
  nghttp2_submit_rst_stream(impl_->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  (void)impl_->write();
}

bool Http2Client::told_to_go() const { return impl_->told_to_go; }
HttpsClient& Http2Client::socket() { return impl_->socket; }

}  // namespace muster::testing
