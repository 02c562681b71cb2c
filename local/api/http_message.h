#pragma once  // local/api/http_message.h: a request and its answer as values, so that tests need no socket
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::local {

struct HttpRequest {
  std::string method;                                      // upper case
  std::string path;                                        // decoded
  std::vector<std::pair<std::string, std::string>> query;  // decoded, in order
  std::map<std::string, std::string> headers;              // names in lower case
  std::string body;

  [[nodiscard]] std::string_view header(const std::string& name) const {
    const auto it = headers.find(name);
    return it == headers.end() ? std::string_view() : std::string_view(it->second);
  }
  [[nodiscard]] std::string_view parameter(std::string_view name) const {
    for (const auto& [key, value] : query)
      if (key == name) return value;
    return {};
  }
  [[nodiscard]] bool has_parameter(std::string_view name) const {
    for (const auto& [key, value] : query)
      if (key == name) return true;
    return false;
  }
};

// The body of an answer that grows: a watch, a log. Pulled, so that a slow reader costs no memory.
class BodyStream {
 public:
  enum class State { kData, kPending, kEnd };
  virtual ~BodyStream() = default;
  // Appends what is there now, some 64 KiB at most, to `out`. May block for the time of a disk read, not
  // longer.
  virtual State pull(std::string& out) = 0;
  // After kPending: calls `ready` once, from any thread, when pull() is worth another try.
  virtual void when_ready(std::function<void()> ready) = 0;
  // The reader has gone or the server stops; from any thread. Pending when_ready callbacks run.
  virtual void close() = 0;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::shared_ptr<BodyStream> stream;  // instead of `body`
};

// "/a%20b?x=1&y" -> path "/a b", query {{x,1},{y,}}. False for a broken escape.
[[nodiscard]] bool parse_target(std::string_view target, std::string& path,
                                std::vector<std::pair<std::string, std::string>>& query);

}  // namespace muster::local
