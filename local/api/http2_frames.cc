// local/api/http2_frames.cc: what nghttp2 calls when frames come and go
#include <nghttp2/nghttp2.h>

#include "local/api/http2_exchange.h"

namespace muster::local {
namespace {

constexpr std::size_t kHeaderOverheadBytes = 32;  // of each header, as HTTP/2 counts a list's size

std::string_view text(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

// C calls these, so nothing is thrown through them.
struct Http2Connection::Callbacks {
  template <typename Body>
  static auto guard(Body body) -> decltype(body()) {
    try {
      return body();
    } catch (const std::exception&) {  // out of memory: the connection goes with it
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
  }
  static Http2Connection& self(void* user) { return *static_cast<Http2Connection*>(user); }
  static Exchange* exchange(nghttp2_session* session, std::int32_t id) {
    return static_cast<Exchange*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    return guard([&] {
      if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
      auto fresh = std::make_unique<Exchange>();
      fresh->id = frame->hd.stream_id;
      fresh->until = std::chrono::steady_clock::now() + self(user).connection_.limits().request;
      nghttp2_session_set_stream_user_data(session, fresh->id, fresh.get());
      self(user).exchanges_[fresh->id] = std::move(fresh);
      return 0;
    });
  }

  static int add_header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name,
                        std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                        std::uint8_t, void* user) {
    return guard([&] {
      Exchange* to = exchange(session, frame->hd.stream_id);
      if (to == nullptr || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;  // a trailer says nothing here
      to->header_bytes += name_size + value_size + kHeaderOverheadBytes;
      if (to->header_bytes > self(user).connection_.limits().header_bytes) return 0;
      const std::string_view key = text(name, name_size);
      const std::string_view content = text(value, value_size);
      if (key == ":method") to->request.method = content;
      if (key == ":path") to->target = content;
      if (key == ":authority") local::add_header(to->request, "host", content);
      if (!key.empty() && key.front() != ':') local::add_header(to->request, key, content);
      return 0;
    });
  }

  static int frame_received(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    return guard([&] {
      if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
      Exchange* of = exchange(session, frame->hd.stream_id);
      if (of == nullptr) return 0;
      of->whole = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
      if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        self(user).header_is_whole(*of, !of->whole);
      if (of->whole && !of->answered) self(user).serve(*of);
      return 0;
    });
  }

  static int data_received(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                           std::size_t size, void* user) {
    return guard([&] {
      if (Exchange* of = exchange(session, id); of != nullptr) self(user).add_body(*of, data, size);
      return 0;
    });
  }

  // An answer that came before the end of its request: the client may stop sending it.
  static int frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    const bool last = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                      (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    const Exchange* of = last ? exchange(session, frame->hd.stream_id) : nullptr;
    if (of != nullptr && !of->whole)
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, of->id, NGHTTP2_NO_ERROR);
    return 0;
  }

  static int stream_closed(nghttp2_session*, std::int32_t id, std::uint32_t, void* user) {
    return guard([&] {
      self(user).forget(id);
      return 0;
    });
  }
};

void Http2Connection::SessionFree::operator()(nghttp2_session* session) const {
  nghttp2_session_del(session);
}

void Http2Connection::open_session() {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* options = nullptr;
  nghttp2_session* session = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&options) == 0) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::add_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::frame_received);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::data_received);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, Callbacks::frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::stream_closed);
    nghttp2_option_set_no_closed_streams(options, 1);  // remembers none: connections live for hours
    // Floods of pings, settings, resets and continuations are ended by nghttp2 at limits of its own.
    if (nghttp2_session_server_new2(&session, callbacks, this, options) == 0) session_.reset(session);
  }
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_option_del(options);
}

}  // namespace muster::local
