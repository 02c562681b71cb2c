#pragma once  // local/tests/support/http2_client.h: HTTP/2 over TLS on one blocking socket, each stream read
              // as the test says
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "local/tests/support/https_client.h"

namespace muster::testing {

struct Http2Stream {
  int status = 0;
  std::map<std::string, std::string> headers;
  std::string body;
  bool ended = false;       // properly, with END_STREAM
  bool closed = false;      // ended, or reset
  std::uint32_t error = 0;  // of a reset
};

class Http2Client {  // one thread at a time
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;
  struct Request {
    std::string_view method;
    std::string_view path;
    std::string_view body = {};
    Headers headers = {};
    bool unread = false;  // its window is not opened again, until read()
    bool open = false;    // the body's end is not sent
  };
  [[nodiscard]] static Result<Http2Client> connect(const HttpsTarget& target);
  Http2Client(Http2Client&& other) noexcept;
  ~Http2Client();

  // Sends the request, or as much of it as the windows allow; the rest goes within wait(). The stream's id.
  [[nodiscard]] int send(const Request& request);
  [[nodiscard]] Result<Http2Stream> request(const Request& request);  // and waits for its end
  [[nodiscard]] const Http2Stream& stream(int id) const;
  // Reads until `holds`. False if the connection ends before, or nothing comes for ten seconds.
  [[nodiscard]] bool wait(const std::function<bool()>& holds);
  void read(int id);                      // an unread one from here on
  void reset(int id);                     // tells the server that nobody wants it
  [[nodiscard]] bool told_to_go() const;  // GOAWAY
  [[nodiscard]] HttpsClient& socket();

 private:
  struct Impl;
  explicit Http2Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::testing
