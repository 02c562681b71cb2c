#pragma once  // kube/http_transport.h: the port through which a Client speaks HTTP; a fake of it scripts
              // faults
#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace muster::kube {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method = "GET";
  std::string target;  // path and query as sent, e.g. "/api/v1/pods?limit=500"
  Headers headers{};
  std::string body{};
};

struct HttpResponse {
  int status = 0;
  Headers headers{};
  std::string body{};
};

// The first header of this name, compared without case; "" if absent.
[[nodiscard]] std::string header(const Headers& headers, std::string_view name);

struct StreamOptions {
  std::chrono::milliseconds idle_timeout{30'000};  // without a byte for this long, the stream is dead
  std::stop_token stop;                            // request_stop() ends the stream with kCancelled
};

class HttpTransport {  // thread-safe
 public:
  virtual ~HttpTransport() = default;

  // One request, one answer, both whole; `deadline` covers everything from connecting to the last byte. Any
  // HTTP status is a success here. Errors: kUnavailable: no connection, or it broke. kDeadlineExceeded.
  // kUnauthenticated: TLS refused. kResourceExhausted: the answer is larger than kResponseBytesMax.
  [[nodiscard]] virtual Result<HttpResponse> send(const HttpRequest& request, Deadline deadline) = 0;

  // Gives the body of a 2xx answer to `on_bytes` as it arrives, on a thread of the transport, never two calls
  // at once and none after return; blocks until the stream ends. `on_bytes` returning false ends it (then
  // OK). The body of any other answer is returned whole. Errors: as send, and kCancelled; kDeadlineExceeded
  // when idle.
  [[nodiscard]] virtual Result<HttpResponse> stream(
      const HttpRequest& request, const StreamOptions& options,
      const std::function<bool(std::string_view)>& on_bytes) = 0;
};

inline constexpr std::size_t kResponseBytesMax = 256U << 20U;  // a page of 500 large objects is far below

}  // namespace muster::kube
