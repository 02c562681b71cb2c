#pragma once  // common/platform/http_server.h: a small HTTP server for anybody's requests, one a connection
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/platform/http_message.h"
#include "common/platform/socket_stream.h"

namespace muster {

// Serves from one thread and one poll until destroyed. Anybody may connect: a request has so long to arrive
// and its answer so long to leave, and beyond so many connections the one goes that has not sent its request
// for longest, of the addresses that have most of these: a flood pushes itself out, not the others.
class HttpServer {
 public:
  // Thread-safe; takes one answer, at any time: nobody waits for it any more once the server is gone.
  using Reply = std::function<void(HttpAnswer)>;
  struct Options {
    std::string ip = "127.0.0.1";  // "::" takes IPv4, too
    int port = 0;                  // 0 takes a free one
    std::string purpose;           // for messages: "/metrics"
    std::size_t connections_max = 64;
    std::size_t body_bytes_max = 0;  // 0: bodies are not read
    std::chrono::milliseconds request_time{2'000};
    std::chrono::milliseconds answer_time{10'000};
    // On the server's thread: it must not block.
    std::function<void(HttpRequest, Reply)> handler{};
    // What a connection speaks; absent: plain. nullptr: it is closed.
    std::function<std::unique_ptr<SocketStream>(FileDescriptor)> stream{};
    // Somebody was turned away before there was a request to handle, for one of kHttpRefusals: for a counter.
    std::function<void(std::string_view reason)> refused{};
  };
  // Errors: kInvalidArgument: no IP address; kAlreadyExists: the port is in use (names address and remedy).
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> start(Options options);
  virtual ~HttpServer() = default;
  [[nodiscard]] virtual int port() const = 0;
};

inline constexpr std::string_view kHttpRefusals[] = {
    "plaintext",  // the first byte is not TLS's
    "handshake",  // TLS came to nothing
    "silent",     // nothing came
    "late",       // the request did not come whole, or not in time
    "crowded",    // there were too many connections
    "malformed",  // no request of HTTP/1
    "oversized",  // a head or body that is too long
};

}  // namespace muster
