#pragma once  // local/api/http_listener.h: HttpApi on a loopback port over TLS
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "local/api/certificate.h"
#include "local/api/http_api.h"

namespace muster::local {

// What a client may cost. One that is slow holds up nobody but itself, and not for ever.
struct ConnectionLimits {
  std::size_t connections = 0;                 // at once; 0: as this process's files allow, 1,024 at most
  std::size_t header_bytes = 64 * 1024;        // more is answered with 431
  std::size_t body_bytes = 3 * 1024 * 1024;    // more is answered with 413; as the real server
  std::chrono::milliseconds greeting{10'000};  // from the connection to the end of its first request
  std::chrono::milliseconds request{60'000};   // for a body to arrive, and for an answer to be taken
  std::chrono::milliseconds idle{180'000};     // from an answer to the end of the next request's header
};

// A full house makes room for a newcomer by dropping the connection that has been longest without a token.
class HttpListener {
 public:
  // Listens when it returns. kUnavailable if the port is taken.
  [[nodiscard]] static Result<std::unique_ptr<HttpListener>> open(HttpApi& api, const std::string& ip,
                                                                  int port, const Certificate& certificate,
                                                                  ConnectionLimits limits = {});
  ~HttpListener();
  [[nodiscard]] int port() const;
  [[nodiscard]] std::size_t connections() const;  // that are open now
  // Closes the port and its connections, within half a second; end the streams of `api` before.
  void close();

 private:
  struct Impl;
  explicit HttpListener(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::local
