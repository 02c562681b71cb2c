#pragma once  // local/tests/support/https_client.h: HTTP/1.1 over TLS on one blocking socket, thin enough to
              // measure servers with
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace muster::testing {

// Where an embedded API server is and what it wants to see, as its kubeconfig says.
struct HttpsTarget {
  std::string host;
  int port = 0;
  std::string ca_pem;
  std::string token;
};
// Reads the kubeconfig that the embedded server writes, and no other.
[[nodiscard]] Result<HttpsTarget> https_target(const std::string& kubeconfig);

struct HttpsResponse {
  int status = 0;
  std::string head;
  std::string body;
};

// One TCP connection to the target. -1 if nobody answers.
[[nodiscard]] int connect_tcp(const HttpsTarget& target);

class HttpsClient {  // one thread at a time
 public:
  // kUnavailable: no connection, a certificate that is not the target's, or a server that does not speak
  // `protocol` ("h2"; "" names none).
  [[nodiscard]] static Result<HttpsClient> connect(const HttpsTarget& target, std::string_view protocol = {});
  HttpsClient(HttpsClient&& other) noexcept;
  HttpsClient& operator=(HttpsClient&& other) noexcept;
  ~HttpsClient();

  // Sends and waits for the whole answer, chunked ones too. kUnavailable if the connection ends before.
  [[nodiscard]] Result<HttpsResponse> request(std::string_view method, std::string_view path,
                                              std::string_view body = {},
                                              std::string_view content_type = "application/json");
  // The head of a request with the token, up to and with the empty line.
  [[nodiscard]] std::string head(std::string_view method, std::string_view path, std::size_t body_bytes,
                                 std::string_view content_type = "application/json") const;
  [[nodiscard]] Status send(std::string_view bytes);
  // Appends what is there; waits for the first byte while the socket blocks. False when the server is done.
  [[nodiscard]] bool receive(std::string& to);
  [[nodiscard]] Result<HttpsResponse> receive_response(bool without_body = false);
  // How long a call waits for bytes before it gives up.
  void set_patience(std::chrono::milliseconds patience);
  void set_blocking(bool blocking);
  [[nodiscard]] int fd() const;

 private:
  struct Impl;
  explicit HttpsClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::testing
