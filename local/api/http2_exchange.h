#pragma once  // local/api/http2_exchange.h: one request of an HTTP/2 connection and its answer (private to
              // http2_*.cc)
#include "local/api/http2_connection.h"

namespace muster::local {

struct Http2Connection::Exchange {
  std::int32_t id = 0;
  HttpRequest request;
  std::string target;
  std::size_t header_bytes = 0;
  Instant until = Instant::max();  // for the request to come, then for its answer to be taken
  bool whole = false;              // the request has ended
  bool answered = false;
  std::shared_ptr<BodyStream> body;
  std::string piece;  // of the answer, from `sent` on still to be sent
  std::size_t sent = 0;
  bool asleep = false;  // nghttp2 waits for wake()

  Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange() {
    if (body) body->close();
  }
};

}  // namespace muster::local
