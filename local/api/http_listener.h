#pragma once  // local/api/http_listener.h: HttpApi on a loopback port over TLS; the only home of cpprestsdk's
              // listener
#include <memory>
#include <string>

#include "common/base/result.h"
#include "local/api/certificate.h"
#include "local/api/http_api.h"

namespace muster::local {

class HttpListener {
 public:
  // Listens when it returns. kUnavailable if the port is taken.
  [[nodiscard]] static Result<std::unique_ptr<HttpListener>> open(HttpApi& api, const std::string& ip,
                                                                  int port, const Certificate& certificate);
  ~HttpListener();
  [[nodiscard]] int port() const;
  // Closes the port and its connections; end the streams of `api` before.
  void close();

 private:
  struct Impl;
  explicit HttpListener(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::local
