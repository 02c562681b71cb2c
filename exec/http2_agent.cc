// exec/http2_agent.cc: nghttp2's callbacks, and gRPC's frames and trailers
#include "exec/http2_agent.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>

namespace muster::exec {
namespace {

constexpr std::string_view kConfigure = "/muster.control.v1.Agent/Configure";
constexpr std::string_view kWatch = "/muster.control.v1.Agent/Watch";
constexpr std::size_t kFrameHead = 5;  // compressed or not, and the length, big-endian

std::string framed(std::string_view message) {
  std::string frame(kFrameHead, '\0');
  for (std::size_t i = 0; i < 4; ++i) frame[1 + i] = static_cast<char>(message.size() >> (8 * (3 - i)));
  frame.append(message);
  return frame;
}

// The one message of a request.
Result<std::string_view> unframed(std::string_view request) {
  if (request.size() < kFrameHead) return invalid_argument("the request holds no message");
  if (request[0] != 0) return Error{Code::kUnimplemented, "messages are not to be compressed"};
  std::size_t size = 0;
  for (std::size_t i = 0; i < 4; ++i) size = (size << 8) | static_cast<unsigned char>(request[1 + i]);
  if (size != request.size() - kFrameHead) return invalid_argument("the request holds another length");
  return request.substr(kFrameHead);
}

// nghttp2 copies both; the casts are what its C asks for.
nghttp2_nv header(std::string_view name, std::string_view value) {
  return {.name = reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
          .value = reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())),
          .namelen = name.size(),
          .valuelen = value.size(),
          .flags = NGHTTP2_NV_FLAG_NONE};
}

AgentConnection& self(void* user) { return *static_cast<AgentConnection*>(user); }

}  // namespace

std::string percent_encoded(std::string_view message) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7F && c != '%') {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kDigits[byte >> 4]);
      out.push_back(kDigits[byte & 0xF]);
    }
  }
  return out;
}

struct AgentConnection::Callbacks {
  static int begin_headers(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
      self(user).streams_[frame->hd.stream_id];
    return 0;
  }

  static int on_header(nghttp2_session* /*session*/, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t size,
                       std::uint8_t /*flags*/, void* user) {
    const std::string_view key(reinterpret_cast<const char*>(name), name_size);
    const auto stream = self(user).streams_.find(frame->hd.stream_id);
    if (stream != self(user).streams_.end() && key == ":path")
      stream->second.path.assign(reinterpret_cast<const char*>(value), size);
    return 0;
  }

  static int on_data(nghttp2_session* /*session*/, std::uint8_t /*flags*/, std::int32_t id,
                     const std::uint8_t* data, std::size_t size, void* user) {
    const auto found = self(user).streams_.find(id);
    if (found == self(user).streams_.end()) return 0;
    Stream& stream = found->second;
    stream.too_long = stream.too_long || stream.request.size() + size > kRequestMax;
    if (!stream.too_long) stream.request.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }

  static int on_frame(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* user) {
    const bool carries = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (!carries || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    const auto stream = self(user).streams_.find(frame->hd.stream_id);
    if (stream != self(user).streams_.end()) self(user).answer(stream->first, stream->second);
    return 0;
  }

  static int on_close(nghttp2_session* /*session*/, std::int32_t id, std::uint32_t /*error*/, void* user) {
    const auto stream = self(user).streams_.find(id);
    if (stream == self(user).streams_.end()) return 0;
    if (stream->second.watches) --self(user).watching_;
    self(user).streams_.erase(stream);
    return 0;
  }

  // More of a reply; then its trailers. A stream that watches and has told all rests.
  static ssize_t read(nghttp2_session* session, std::int32_t id, std::uint8_t* into, std::size_t size,
                      std::uint32_t* flags, nghttp2_data_source* /*source*/, void* user) {
    AgentConnection& connection = self(user);
    const auto found = connection.streams_.find(id);
    if (found == connection.streams_.end()) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    Stream& stream = found->second;
    if (stream.reply.empty() && stream.watches && stream.sent < connection.version_) {
      stream.reply = connection.status_;
      stream.sent = connection.version_;
    }
    if (stream.reply.empty() && stream.watches && !connection.finishing_) {
      stream.deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    const std::size_t count = std::min(size, stream.reply.size());
    std::copy_n(stream.reply.begin(), count, into);
    stream.reply.erase(0, count);
    const bool more = !stream.reply.empty() ||
                      (stream.watches && (!connection.finishing_ || stream.sent < connection.version_));
    if (more) return static_cast<ssize_t>(count);
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    const std::array trailers{header("grpc-status", "0")};
    if (nghttp2_submit_trailer(session, id, trailers.data(), trailers.size()) != 0)
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    return static_cast<ssize_t>(count);
  }
};

AgentConnection::AgentConnection(const AgentCalls& calls) : calls_(calls) {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return;
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_close);
  if (nghttp2_session_server_new(&session_, callbacks, this) != 0) session_ = nullptr;
  nghttp2_session_callbacks_del(callbacks);
  const std::array settings{
      nghttp2_settings_entry{.settings_id = NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, .value = kStreamsMax}};
  if (session_ != nullptr)
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
}

AgentConnection::~AgentConnection() { nghttp2_session_del(session_); }

bool AgentConnection::take(std::string_view bytes) {
  if (session_ == nullptr) return false;
  const ssize_t taken =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  return taken == static_cast<ssize_t>(bytes.size());
}

std::string_view AgentConnection::give() {
  const std::uint8_t* data = nullptr;
  const ssize_t size = session_ == nullptr ? 0 : nghttp2_session_mem_send(session_, &data);
  return size <= 0 ? std::string_view()
                   : std::string_view(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
}

bool AgentConnection::over() const {
  return session_ == nullptr ||
         (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0);
}

void AgentConnection::answer(std::int32_t id, Stream& stream) {
  if (stream.too_long) return refuse(id, Code::kResourceExhausted, "the request is too long");
  const bool watch = stream.path == kWatch;
  if (!watch && stream.path != kConfigure)
    return refuse(id, Code::kUnimplemented, "muster-exec knows no such call");
  const auto message = unframed(stream.request);
  if (!message) return refuse(id, message.error().code, message.error().message);
  const Status done = watch ? calls_.watch(*message) : calls_.configure(*message);
  stream.request.clear();
  if (!done) return refuse(id, done.error().code, done.error().message);
  stream.watches = watch;
  if (watch) ++watching_;
  if (!watch) stream.reply = framed("");
  const std::array headers{header(":status", "200"), header("content-type", "application/grpc")};
  const nghttp2_data_provider body{.source = {}, .read_callback = Callbacks::read};
  nghttp2_submit_response(session_, id, headers.data(), headers.size(), &body);
}

void AgentConnection::refuse(std::int32_t id, Code code, std::string_view message) {
  const std::string number = std::to_string(static_cast<int>(code));
  const std::string words = percent_encoded(message);
  const std::array headers{header(":status", "200"), header("content-type", "application/grpc"),
                           header("grpc-status", number), header("grpc-message", words)};
  nghttp2_submit_response(session_, id, headers.data(), headers.size(), nullptr);
}

void AgentConnection::publish(const std::string& status) {
  status_ = framed(status);
  ++version_;
  resume();
}

void AgentConnection::finish() {
  finishing_ = true;
  resume();
}

void AgentConnection::resume() {
  for (auto& [id, stream] : streams_) {
    if (!stream.deferred) continue;
    stream.deferred = false;
    nghttp2_session_resume_data(session_, id);
  }
}

}  // namespace muster::exec
